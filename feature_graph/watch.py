"""Who held the event loop: each step of a fetch is timed, so that its neighbours are not blamed."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from time import monotonic
from types import coroutine
from typing import Any, Final

from feature_graph.reasons import ours

BLOCKED_S: Final = 0.01
"""A step that takes longer holds up every other request of the process."""


@ours
@coroutine
def watched(
    call: Coroutine[Any, Any, Any], hold: Callable[[str, float], None], name: str
) -> Generator[Any, Any, Any]:
    """Await ``call`` and tell ``hold(name, seconds)`` of every step that took longer than ``BLOCKED_S``.

    Seconds of the real clock, whatever the loop's is: it is the processor that is held.
    """
    step, sent = call.send, None
    began_s = monotonic()
    try:
        while True:
            waits_for = step(sent)
            if monotonic() - began_s > BLOCKED_S:
                hold(name, monotonic() - began_s)
            try:
                step, sent = call.send, (yield waits_for)
            except BaseException as error:
                step, sent = call.throw, error
            began_s = monotonic()
    except StopIteration as stop:
        return stop.value
    finally:
        if monotonic() - began_s > BLOCKED_S:
            hold(name, monotonic() - began_s)
        # The traceback of an error may hold this frame, and on 3.12 the frame of the fetch itself does.
        del call, hold, step, sent
