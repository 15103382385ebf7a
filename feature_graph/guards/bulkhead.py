"""At most so many calls of one source under way, the others in a queue, first come first served.

A place is handed over: whoever ends gives his to the first in the queue, who then holds it even if he has not
woken up. So nobody who comes later can push in, and one who is cancelled in that moment hands it on.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from feature_graph.errors import Overloaded
from feature_graph.guards.clock import running_loop


class Waiter:
    """One call in the queue. Its loop may be another than that of whoever hands over."""

    __slots__ = ("_loop", "future", "granted")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.future: asyncio.Future[None] = loop.create_future()
        self.granted = False

    def wake(self) -> bool:
        """Tell it that it has its place; False if its loop is gone, and it with it."""
        try:
            if running_loop() is self._loop:
                self._wake()
            else:
                self._loop.call_soon_threadsafe(self._wake)
        except RuntimeError:  # closed
            return False
        return True

    def _wake(self) -> None:
        if not self.future.done():
            self.future.set_result(None)


class Bulkhead:
    """Counts only; whoever uses it holds the source's lock."""

    __slots__ = ("_max_waiting", "_name", "_queue", "in_flight", "max_in_flight")

    def __init__(self, name: str, max_in_flight: int | None, max_waiting: int | None) -> None:
        self._name = name
        self.max_in_flight = max_in_flight
        self._max_waiting = max_waiting
        self._queue: OrderedDict[Waiter, None] = OrderedDict()
        self.in_flight = 0

    @property
    def waiting(self) -> int:
        """Calls in the queue."""
        return len(self._queue)

    @property
    def full(self) -> bool:
        """True if the next call has to wait."""
        return self.max_in_flight is not None and self.in_flight >= self.max_in_flight

    def enter(self) -> bool:
        """Take a place; False if there is none."""
        if self.max_in_flight is not None and self.in_flight >= self.max_in_flight:
            return False
        self.in_flight += 1
        return True

    def queue(self, loop: asyncio.AbstractEventLoop) -> Waiter:
        """Stand in line.

        Raises:
            Overloaded: the line is as long as it may be.
        """
        if self._max_waiting is not None and len(self._queue) >= self._max_waiting:
            raise Overloaded(
                f"source {self._name!r} has {self.in_flight} calls under way and {len(self._queue)} waiting, "
                "as many as it may"
            )
        waiter = Waiter(loop)
        self._queue[waiter] = None
        return waiter

    def leave(self) -> Waiter | None:
        """Give a place back; whom it went to, who has to be woken."""
        if not self._queue:
            self.in_flight -= 1
            return None
        waiter, _ = self._queue.popitem(last=False)
        waiter.granted = True
        return waiter

    def withdraw(self, waiter: Waiter) -> bool:
        """Go out of the line; True if a place had been granted, which has to be given back."""
        self._queue.pop(waiter, None)
        return waiter.granted
