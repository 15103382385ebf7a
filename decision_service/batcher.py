"""Concurrent callers share one call: as many as there are while the previous call is away, none waiting idle.

The batch grows with the load by itself: the first item is sent as soon as a turn of the loop brings no
other, and whatever comes until that call returns makes the next one. No clock is waited for.
(Daniel Crankshaw et al., "Clipper: A Low-Latency Online Prediction Serving System", 2017, section 4.3.)
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from decision_service.lateness import lateness_of

Q = TypeVar("Q")
A = TypeVar("A")

Call = Callable[[Sequence[Q]], Awaitable[Sequence[A]]]
"""N questions in, N answers out, in order. What it raises, every caller of that batch is raised."""


PATIENCE_TURNS = 4
"""Turns of the loop for which a call waits while more comes in each; where nothing more comes, one."""


class Batcher(Generic[Q, A]):
    """Gathers items for ``call``; belongs to one event loop.

    Args:
        call: answers a batch; it brings its own timeout.
        max_batch: most items of one call.
        in_flight: calls under way at once.
        few: one more may be under way as long as no more items than this are: with so few there is nothing
            to be gathered, and somebody waits.
        size: as how many an item counts; each as one, where nobody says.
        alike: items of one call have the same of this; where nobody says, all may share one.
        turns: of the loop for which a call waits while more comes in each.
        patience_s: an item waits for no longer than that for a call to come back: one more goes then.
        worth: while one call is under way, the next one goes when so many are waiting: a small one costs both
            more than its items gain.
        worth_share: and when they are at least that share of those under way.
        held: while it says so, no call goes but by patience. Whoever ends that calls :meth:`look_again`.
    """

    def __init__(
        self,
        call: Call[Q, A],
        *,
        max_batch: int,
        in_flight: int = 1,
        few: int = 0,
        size: Callable[[Q], int] | None = None,
        alike: Callable[[Q], object] | None = None,
        patience_s: float | None = None,
        turns: int = PATIENCE_TURNS,
        worth: int = 1,
        worth_share: float = 0.0,
        held: Callable[[], bool] | None = None,
    ) -> None:
        self._call = call
        self._size, self._alike, self._patience_s = size, alike, patience_s
        self._most_turns, self._worth, self._worth_share, self._held = turns, worth, worth_share, held
        self._max_batch = max_batch
        self._in_flight = self._free = in_flight
        self._few, self._under_way, self._queued = few, 0, 0
        self._watch: asyncio.TimerHandle | None = None
        self._waiting: deque[tuple[Q, asyncio.Future[A]]] = deque()
        self._tasks: dict[int, asyncio.Task[None]] = {}
        """By batch: whoever is at work need not ask the loop which task it is, which asks the kernel."""
        self._scheduled = False
        self._seen = self._turns = 0
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def waiting(self) -> int:
        """Items that no call has taken yet."""
        return len(self._waiting)

    @property
    def calls(self) -> int:
        """Calls under way."""
        return self._in_flight - self._free

    async def ask(self, item: Q, timeout_s: float | None = None) -> A:
        """The answer to ``item``.

        Args:
            item: goes into the next call.
            timeout_s: how long this caller waits, queueing included; the others of its batch are not touched.

        Raises:
            TimeoutError: no answer came in time.
        """
        future = self.put(item)
        return await (future if timeout_s is None else within(future, timeout_s))

    def put(self, item: Q) -> asyncio.Future[A]:
        """The answer to ``item`` to come, for who has something to do meanwhile."""
        loop = self._loop
        if loop is None:
            loop = self._loop = asyncio.get_running_loop()
        future: asyncio.Future[A] = loop.create_future()
        self._waiting.append((item, future))
        self._queued += 1 if self._size is None else self._size(item)
        if not self._scheduled:
            if self._may_go():
                self._scheduled = True
                loop.call_soon(self._flush, loop)
            else:
                self._watch_over(loop)
        return future

    def look_again(self) -> None:
        """What held calls is over."""
        if self._waiting and self._loop is not None:
            self._schedule(self._loop)

    def _may_go(self) -> bool:
        if self._held is not None and self._held():
            return False
        if self._free > 0:
            worth = max(self._worth, self._worth_share * self._under_way)
            return not self._under_way or self._queued >= worth
        return self._free == 0 and self._under_way + self._queued <= self._few

    def _waited_long(self, loop: asyncio.AbstractEventLoop) -> None:
        """Whoever is away for so long holds up nobody else."""
        self._watch = None
        if self._waiting and not self._scheduled:
            self._send(loop)
            self._watch_over(loop)

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._free > 0 and not self._scheduled and self._may_go():
            self._scheduled = True
            loop.call_soon(self._flush, loop)

    def _flush(self, loop: asyncio.AbstractEventLoop) -> None:
        if len(self._waiting) > self._seen and self._turns < self._most_turns:
            self._seen, self._turns = len(self._waiting), self._turns + 1
            loop.call_soon(self._flush, loop)
            return
        self._scheduled, self._seen, self._turns = False, 0, 0
        while self._may_go() and self._send(loop) and self._held is None:
            pass
        self._watch_over(loop)

    def _watch_over(self, loop: asyncio.AbstractEventLoop) -> None:
        """See that nobody waits for too long."""
        if self._waiting and self._patience_s is not None and self._watch is None:
            self._watch = loop.call_later(self._patience_s, self._waited_long, loop)

    def _send(self, loop: asyncio.AbstractEventLoop) -> bool:
        batch, size = self._take()
        if not batch:
            return False
        self._free -= 1
        self._under_way += size
        self._tasks[id(batch)] = loop.create_task(self._run(batch, size))
        return True

    def _take(self) -> tuple[list[tuple[Q, asyncio.Future[A]]], int]:
        """What goes next, and as how many it counts."""
        batch: list[tuple[Q, asyncio.Future[A]]] = []
        others: list[tuple[Q, asyncio.Future[A]]] = []
        total, kind, size_of, alike = 0, None, self._size, self._alike
        while self._waiting and total < self._max_batch:
            entry = self._waiting.popleft()
            item, future = entry
            size = 1 if size_of is None else size_of(item)
            if future.done():  # its caller gave up or went away
                self._queued -= size
                continue
            its = None if alike is None else alike(item)
            if not batch:
                kind = its
            elif its != kind:
                others.append(entry)
                continue
            elif total + size > self._max_batch:
                others.append(entry)
                break
            batch.append(entry)
            total += size
        self._waiting.extendleft(reversed(others))
        self._queued -= total
        return batch, total

    async def _run(self, batch: list[tuple[Q, asyncio.Future[A]]], size: int) -> None:
        try:
            answers = await self._call([item for item, _ in batch])
            for (_, future), answer in zip(batch, answers, strict=True):
                if not future.done():
                    future.set_result(answer)
        except BaseException as error:
            _fail(batch, error)
            if not isinstance(error, Exception):
                raise
        finally:
            self._free += 1
            self._under_way -= size
            self._tasks.pop(id(batch), None)
            self.look_again()


async def within(future: asyncio.Future[A], timeout_s: float) -> A:
    """What ``future`` comes to.

    Raises:
        TimeoutError: nothing within ``timeout_s`` seconds; it is over for whoever else waits for it, too.
    """
    if not future.done():
        lateness_of(future.get_loop()).give_up(future, timeout_s)
    return await future


def _fail(batch: list[tuple[Q, asyncio.Future[A]]], error: BaseException) -> None:
    for _, future in batch:
        if future.done():
            continue
        if isinstance(error, asyncio.CancelledError):
            future.cancel()
        else:
            future.set_exception(error)
