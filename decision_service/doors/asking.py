"""Decisions for dialects: the same as behind the native door, and told to admission alike."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from decision_service.api.recommendations import Recommendation, RecommendationRequest
from decision_service.service import Service

Ask = Callable[[RecommendationRequest], Awaitable[Recommendation]]


def asking_of(service: Service) -> Ask:
    """Decides. How long it took beside its deadline bounds how many may be under way."""
    deadline_s = service.settings.deadline_ms / 1000

    async def ask(asked: RecommendationRequest) -> Recommendation:
        started_s = time.perf_counter()
        made = await service.deciding.ask(asked)
        service.admission.answered(time.perf_counter() - started_s, deadline_s)
        return made

    return ask
