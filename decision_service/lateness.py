"""When to stop waiting: one timer a loop for all who wait, since most of them are answered long before.

A timer each costs two microseconds to set and take back; a place in a heap a fraction of one. Whoever was
answered stays there until their time, or until half of the heap is such.
"""

from __future__ import annotations

import asyncio
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Any

Waiting = asyncio.Future[Any]

_LEAST = 1_024
"""Entries from which on it is looked who is still waited for."""


class Lateness:
    """Gives futures up at their time; belongs to one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._clock = loop.time
        self._heap: list[tuple[float, int, Waiting]] = []
        self._number = count().__next__
        self._timer: asyncio.TimerHandle | None = None
        self._rings_at_s = 0.0
        self._look_at = _LEAST

    def give_up(self, future: Waiting, after_s: float) -> None:
        """Let ``future`` raise ``TimeoutError`` if it is not done after so many seconds."""
        if after_s <= 0.0:
            future.set_exception(TimeoutError())
            return
        at_s = self._clock() + after_s
        heappush(self._heap, (at_s, self._number(), future))
        if self._timer is None or at_s < self._rings_at_s:
            self._arm(at_s)
        if len(self._heap) > self._look_at:
            self._forget_the_answered()

    def _arm(self, at_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._rings_at_s = at_s
        self._timer = self._loop.call_at(at_s, self._ring)

    def _ring(self) -> None:
        # By the timer's own time: some loops ring a little early.
        heap, now, self._timer = self._heap, max(self._clock(), self._rings_at_s), None
        while heap and (heap[0][0] <= now or heap[0][2].done()):
            future = heappop(heap)[2]
            if not future.done():
                future.set_exception(TimeoutError())
        if heap:
            self._arm(heap[0][0])

    def _forget_the_answered(self) -> None:
        self._heap = [entry for entry in self._heap if not entry[2].done()]
        heapify(self._heap)
        self._look_at = max(_LEAST, 2 * len(self._heap))


_last: list[tuple[asyncio.AbstractEventLoop, Lateness]] = []


def lateness_of(loop: asyncio.AbstractEventLoop) -> Lateness:
    """The one of a loop; a process has one loop at a time."""
    if not _last or _last[0][0] is not loop:
        _last[:] = [(loop, Lateness(loop))]
    return _last[0][1]
