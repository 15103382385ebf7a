"""Decisions for whoever answers them over HTTP: asked for, and told to admission."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from decision_service.admission import Admission
from decision_service.api.recommendations import Recommendation, RecommendationRequest
from decision_service.case import Outcome
from decision_service.deciding import Deciding


class Asking:
    """How long each decision took beside its deadline bounds how many may be under way.

    Args:
        deciding: decides.
        admission: is told.
        deadline_ms: of requests that name none.
    """

    def __init__(self, deciding: Deciding, admission: Admission, deadline_ms: int) -> None:
        self._deciding, self._admission, self._deadline_ms = deciding, admission, deadline_ms

    async def ask(self, asked: RecommendationRequest) -> Recommendation:
        """The recommendation.

        Raises:
            BadRequest, NothingEligible, KeyReused: as :func:`decision_service.decide.decide` says.
        """
        started_s = time.perf_counter()
        made = await self._deciding.ask(asked)
        self._took(asked, started_s)
        return made

    def put(self, asked: RecommendationRequest, told: Callable[[Outcome | BaseException], None]) -> None:
        """The same without a task: ``told`` is called with the recommendation, or why there is none."""
        started_s = time.perf_counter()

        def answer(coming: asyncio.Future[Outcome]) -> None:
            self._took(asked, started_s)
            told(RuntimeError("cut off") if coming.cancelled() else coming.exception() or coming.result())

        self._deciding.put(asked).add_done_callback(answer)

    def _took(self, asked: RecommendationRequest, started_s: float) -> None:
        deadline_ms = asked.deadline_ms or self._deadline_ms
        self._admission.answered(time.perf_counter() - started_s, deadline_ms / 1000)
