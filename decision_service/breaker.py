"""One breaker a dependency: while it is open nobody waits for what will not come; one call asks for all.

The counting is ``feature_graph``'s (half of 20 calls or more in 10 s failed). What differs is the probe: a
call of our own beside the requests, so that none of them pays for finding out whether the other is back.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from feature_graph.guards.breaker import Breaker, BreakerState, Tripping

log = logging.getLogger("sidearm.decision_service")

_MOMENT_S = 0.1
RULE = Breaker(share=0.5, at_least=20, window_s=10.0, open_s=0.5)


class Guard:
    """Whether a dependency is to be asked; belongs to one event loop.

    Args:
        name: of the dependency, for logs and metrics.
        probe: asks it something that only a healthy one answers; raises if it does not, or too late.
        clock: seconds that never jump.
        tell: is told each change: 1.0 open, 0.0 closed.
        rule: when it opens, and how long until it probes.
    """

    def __init__(
        self,
        name: str,
        probe: Callable[[], Awaitable[object]],
        clock: Callable[[], float],
        tell: Callable[[str, float], None],
        rule: Breaker = RULE,
    ) -> None:
        self._name, self._probe, self._clock, self._tell = name, probe, clock, tell
        self._open_s = rule.open_s
        self._trip = Tripping(name, rule)
        self._opened = asyncio.Event()
        self._goods, self._goods_at_s = 0, clock()
        tell(name, 0.0)

    @property
    def closed(self) -> bool:
        """True: ask it."""
        return self._trip.state is BreakerState.CLOSED

    def good(self, calls: int = 1) -> None:
        """It answered in time. Told by the thousand: those of a moment are written down together."""
        now_s = self._clock()
        if now_s - self._goods_at_s > _MOMENT_S:
            self._count_goods()
            self._goods_at_s = now_s
        self._goods += calls

    def _count_goods(self) -> None:
        self._trip.record_good(self._goods, self._goods_at_s)
        self._goods = 0

    def bad(self, calls: int = 1) -> None:
        """It did not."""
        if not self.closed:
            return
        self._count_goods()
        for _ in range(calls):
            if self.closed:
                self._trip.record(False, self._clock(), probe=False)
        if not self.closed:
            log.warning("%s fails: it is left alone, and asked every %g s", self._name, self._open_s)
            self._tell(self._name, 1.0)
            self._opened.set()

    async def keep_probing(self) -> None:
        """For ever: while the breaker is open, find out whether it may close."""
        while True:
            await self._opened.wait()
            await asyncio.sleep(self._open_s)
            self._trip.record(await self._answers(), self._clock(), probe=True)
            if self.closed:
                self._opened.clear()
                log.warning("%s answers again", self._name)
                self._tell(self._name, 0.0)

    async def _answers(self) -> bool:
        try:
            await self._probe()
        except Exception as error:
            log.debug("%s does not answer: %r", self._name, error)
            return False
        return True
