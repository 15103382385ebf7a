"""Requests that come at the same time are decided together; who comes alone is decided at once.

What came while the last decisions were on their way makes the next batch. Two are on their way at once where
enough ask for the second, and the second begins when the first has its features: side by side they would ask
for the same things at the same time, and wait for them at the same time. Nobody waits for long: one more goes
then. All of a batch have the same deadline, so that none loses anything by another's. Where features are not
looked up but fetched for each request (``looks.goes_together``), each is decided by itself, and shares but
calls.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from decision_service.api.recommendations import Recommendation, RecommendationRequest
from decision_service.batcher import Batcher
from decision_service.busy_wait import BusyWait
from decision_service.case import Outcome
from decision_service.decide import decide
from decision_service.decider import Decider
from decision_service.traced import now_traced

if TYPE_CHECKING:
    from decision_service.tracing import Traced

AT_ONCE = 2
"""Batches on their way, as long as they come back in time."""
WORTH = 8
"""Requests that make another one while one is on its way. Each costs over a millisecond by itself: fewer are
answered sooner by waiting for the next one."""
WORTH_SHARE = 0.75
"""Of those on their way: with two batches of very different sizes there is little to overlap."""
_ANY_NUMBER = 1 << 30
PATIENCE_SHARE = 0.1
"""Of a request's deadline: for so long it waits for one of them."""
Asked = tuple[RecommendationRequest, float, "Traced | None"]
"""A request, when it came, on the loop's clock, and whether somebody looks at it."""


class Deciding:
    """Of one service; belongs to one event loop.

    Args:
        decider: gives what decisions need.
        max_batch: most requests that are decided together.
        deadline_s: of requests that name none.
        busy_wait_s: for how long after a batch began the loop does not sleep for its sake; 0: it does.
    """

    def __init__(
        self, decider: Callable[[], Decider], max_batch: int, deadline_s: float, busy_wait_s: float = 0.0
    ) -> None:
        self._decider = decider
        self._busy_wait = BusyWait(busy_wait_s)
        self._fetching = 0
        self._batcher: Batcher[Asked, Outcome] = Batcher(
            self._decide,
            max_batch=max_batch,
            in_flight=AT_ONCE,
            alike=lambda asked: asked[0].deadline_ms,
            patience_s=PATIENCE_SHARE * deadline_s,
            worth=WORTH,
            worth_share=WORTH_SHARE,
            held=lambda: self._fetching > 0,
        )
        self._alone: Batcher[Asked, Outcome] = Batcher(
            self._decide, max_batch=1, in_flight=_ANY_NUMBER, turns=0
        )

    def put(self, request: RecommendationRequest) -> asyncio.Future[Outcome]:
        """What becomes of ``request``, to come."""
        decider = self._decider()
        traced = None if decider.telemetry.tracing is None else now_traced.get()
        if decider.features.together:
            return self._batcher.put((request, decider.loop_time(), traced))
        return self._alone.put((request, decider.loop_time(), traced))

    async def ask(self, request: RecommendationRequest) -> Recommendation:
        """The recommendation.

        Raises:
            BadRequest, NothingEligible, KeyReused: as :func:`decision_service.decide.decide` says.
        """
        return answer_of(await self.put(request))

    async def _decide(self, asked: Sequence[Asked]) -> list[Outcome]:
        decider, requests, began_s = self._decider(), [one[0] for one in asked], asked[0][1]
        tracing = decider.telemetry.tracing
        together = None if tracing is None else tracing.together([one[2] for one in asked])
        with self._busy_wait, self._fetches() as fetched:
            if together is None:
                return await decide(decider, requests, began_s, fetched=fetched)
            outcomes: list[Outcome] = [RuntimeError("cut off")] * len(asked)
            try:
                outcomes = await decide(decider, requests, began_s, together.traces, fetched)
            finally:
                together.end(outcomes)
            return outcomes

    @contextmanager
    def _fetches(self) -> Iterator[Callable[[], None]]:
        """A batch, which no other one is to join until it says, or ends."""
        is_fetching = True
        self._fetching += 1

        def fetched() -> None:
            nonlocal is_fetching
            self._fetching -= is_fetching
            is_fetching = False
            self._batcher.look_again()

        try:
            yield fetched
        finally:
            fetched()


async def decide_one(decider: Decider, request: RecommendationRequest) -> Recommendation:
    """The recommendation for one request.

    Raises:
        As :meth:`Deciding.ask`.
    """
    return answer_of((await decide(decider, [request]))[0])


def answer_of(outcome: Outcome) -> Recommendation:
    """The recommendation, if it is one; else what it is, raised."""
    if isinstance(outcome, Exception):
        raise outcome
    return outcome
