"""Who held the event loop: each step of a fetch is timed, so that its neighbours are not blamed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from types import coroutine
from typing import Any, Final

BLOCKED_S: Final = 0.01
"""A step that takes longer holds up every other request of the process."""

Hold = Callable[[str, float], None]


@coroutine
def watched(
    call: Awaitable[Any], clock: Callable[[], float], hold: Hold, name: str
) -> Generator[Any, Any, object]:
    """Await ``call`` and tell ``hold(name, seconds)`` of every step that took longer than ``BLOCKED_S``."""
    steps: Any = call.__await__()
    send = steps.send
    sent: Any = None
    throw: BaseException | None = None
    while True:
        began_s = clock()
        try:
            waits_for = send(sent) if throw is None else steps.throw(throw)
        except StopIteration as stop:
            return stop.value
        finally:
            throw = None  # its traceback may hold this frame
            took_s = clock() - began_s
            if took_s > BLOCKED_S:
                hold(name, took_s)
        try:
            sent = yield waits_for
        except BaseException as error:
            throw = error
