"""While decisions are on their way, look for news again and again instead of sleeping until some comes.

A decision waits half a dozen times, for a store or a sidecar that answer within a millisecond or two, and a
process that slept is slower when it is woken. The price is a core that is never idle meanwhile, though it is
given up to whoever waits for it (ADR 0082).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from types import TracebackType

_give_way = getattr(os, "sched_yield", lambda: None)


class BusyWait:
    """Of one event loop: ``with`` it around what is on its way.

    Args:
        most_s: for so long after the last one began, in seconds: who is away for longer is not worth a core.
            0: it is slept as ever.
        loop: gives the loop.
    """

    def __init__(
        self, most_s: float, loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.get_running_loop
    ) -> None:
        self._most_s, self._loop = most_s, loop
        self._under_way = 0
        self._until_s = 0.0
        self._turns = False

    def __enter__(self) -> None:
        if not self._most_s:
            return
        loop = self._loop()
        self._under_way += 1
        self._until_s = loop.time() + self._most_s
        if not self._turns:
            self._turns = True
            loop.call_soon(self._turn, loop)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._most_s:
            self._under_way -= 1

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        """A loop that has something to call does not sleep."""
        self._turns = self._under_way > 0 and loop.time() < self._until_s
        if self._turns:
            _give_way()
            loop.call_soon(self._turn, loop)
