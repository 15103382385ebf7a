"""One of the requests that are decided together: what is known of it so far."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from decision_service.api.recommendations import Recommendation, RecommendationRequest
from decision_service.budget import Budget
from decision_service.choice import Choice
from decision_service.decider import Decider
from decision_service.looks import FirstLook, Resolved
from decision_service.plan import Plan
from decision_service.scored import Scored
from sidecar.contracts.events import DecisionEvent
from sidecar.contracts.scripts.decide import Decided
from sidecar.policy.exploration import Pmf

if TYPE_CHECKING:
    from decision_service.tracing import DecisionTrace

Outcome = Recommendation | Exception
"""What becomes of a request: an answer, or why there is none."""


class Case:
    """A request on its way; each stage fills in what it finds."""

    __slots__ = (
        "choice",
        "decided",
        "event",
        "first",
        "found",
        "is_open",
        "outcome",
        "plan",
        "pmf",
        "request",
        "scored",
        "traced",
    )
    request: RecommendationRequest
    plan: Plan
    first: FirstLook | None
    found: Resolved
    scored: Scored
    is_open: bool
    """No rule has answered it: a model is to."""
    pmf: Pmf
    choice: Choice
    event: DecisionEvent
    decided: Decided
    outcome: Outcome | None
    """Set, it is over."""
    traced: DecisionTrace | None
    """Somebody looks at it."""

    def __init__(self, request: RecommendationRequest) -> None:
        self.request = request
        self.first = self.outcome = self.traced = None
        self.is_open = True


def each(cases: Sequence[Case], stage: Callable[[Case], None]) -> list[Case]:
    """Do ``stage`` for each; those that go on. What it raises is the outcome of that one alone."""
    going = []
    for case in cases:
        try:
            stage(case)
        except Exception as error:
            case.outcome = error
        else:
            going.append(case)
    return going


def looked_at(stage: str, cases: Sequence[Case]) -> AbstractContextManager[None]:
    """A span of a stage, if somebody looks at one of the cases."""
    traced = next((case.traced for case in cases if case.traced is not None), None)
    return nullcontext() if traced is None else traced.together.stage(stage, cases)


Stage = Callable[[Decider, Sequence[Case], Budget], Awaitable[Sequence[Case]]]
"""What is done for many at once; those that go on."""


def apart(stage: Stage) -> Stage:
    """``stage``, done again for each by itself where it fails for all: whose fault it is, they bear it.

    Only for what may be done twice.
    """

    async def staged(decider: Decider, cases: Sequence[Case], budget: Budget) -> Sequence[Case]:
        try:
            if decider.telemetry.tracing is None:
                return await stage(decider, cases, budget)
            with looked_at(stage.__name__, cases):
                return await stage(decider, cases, budget)
        except Exception as error:
            if len(cases) == 1:
                cases[0].outcome = error
                return ()
            return [one for case in cases for one in await staged(decider, [case], budget)]

    return staged
