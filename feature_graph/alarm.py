"""When a run has to give something up: one alarm for whatever is due first.

A timer a fetch would double the fetch's cost; one a run rings for the earliest timeout, or the deadline.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf

LATE_S = 0.002
"""Rung so late, the loop was held up by somebody: what came meanwhile is looked at before blame is laid."""
_TURNS = 2
"""Answers that lie in the sockets are read in this turn of the loop and reach their fetches in the next."""


class Alarm:
    """Rings ``ring(due_s)`` at the earliest instant that it was armed for; belongs to one run."""

    __slots__ = ("_clock", "_loop", "_ring", "_timer", "at_s")

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[float], None]) -> None:
        self._loop = loop
        self._clock = loop.time
        self._ring = ring
        self._timer: asyncio.Handle | None = None
        self.at_s = inf

    def arm(self, at_s: float) -> None:
        """Ring at ``at_s`` at the latest."""
        if at_s < self.at_s:
            if self._timer is not None:
                self._timer.cancel()
            self.at_s = at_s
            self._timer = self._loop.call_at(at_s, self._rings)

    def _rings(self, turn: int = 0) -> None:
        if turn < _TURNS and (turn or self._clock() - self.at_s > LATE_S):
            self._timer = self._loop.call_soon(self._rings, turn + 1)
            return
        # By the alarm's own time: some loops ring a little early.
        due_s, self._timer, self.at_s = self.at_s, None, inf
        self._ring(due_s)

    def off(self) -> None:
        """Never ring again."""
        self._ring = _nobody  # the run is told of no more, and not kept by its alarm
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _nobody(due_s: float) -> None:
    """Who is told when the run is over."""
