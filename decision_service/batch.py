"""``POST /v1/recommendations/batch``: many recommendations in one call, each with its own fate.

Each is a decision like any other, through the same stages; those of one call share calls to sidecar and store
as concurrent requests do. One that is refused does not touch the others: they are logged already.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from decision_service.api.problems import Problem, ProblemDetail
from decision_service.api.recommendations import Recommendation, RecommendationRequest
from decision_service.errors import ServiceError
from decision_service.problem import HttpAnswer, http_problem, problem_of

MAX_RECOMMENDATIONS = 500
_AT_ONCE = 64
"""Of one call: whoever asks for one recommendation must not queue behind all five hundred of another."""

Decide = Callable[[RecommendationRequest], Awaitable[Recommendation]]

log = logging.getLogger("sidearm.decision_service")


class RecommendationBatch(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Many requests; the deadline of each begins when its turn comes."""

    requests: Annotated[list[RecommendationRequest], Meta(min_length=1, max_length=MAX_RECOMMENDATIONS)]


class BatchResult(Struct, frozen=True, kw_only=True):
    """What became of one request: one of the two."""

    recommendation: Recommendation | UnsetType = UNSET
    problem: Problem | UnsetType = UNSET
    """As it would have been the answer to the request alone."""


class RecommendationResults(Struct, frozen=True, kw_only=True):
    """One result a request, in the order of the requests."""

    results: list[BatchResult]


async def decide_all(decide: Decide, batch: RecommendationBatch) -> RecommendationResults:
    """Decide every request of ``batch``."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(place: int, request: RecommendationRequest) -> BatchResult:
        async with gate:
            return await _result(decide, request, place)

    results = await asyncio.gather(*(one(place, asked) for place, asked in enumerate(batch.requests)))
    return RecommendationResults(results=results)


async def _result(decide: Decide, request: RecommendationRequest, place: int) -> BatchResult:
    try:
        return BatchResult(recommendation=await decide(request))
    except ServiceError as error:
        return BatchResult(problem=_problem(problem_of(error), place))
    except Exception:
        log.exception("request %d of a batch failed", place)
        return BatchResult(problem=_problem(http_problem(500), place))


def _problem(answer: HttpAnswer, place: int) -> Problem:
    """The problem, whose pointers go into the body of the batch."""
    problem = msgspec.json.decode(answer.body, type=Problem)
    errors = [ProblemDetail(f"/requests/{place}{one.pointer}", one.detail) for one in problem.errors]
    return msgspec.structs.replace(problem, errors=errors)
