"""One of the requests that are decided together: what is known of it so far."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

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

    def __init__(self, request: RecommendationRequest) -> None:
        self.request = request
        self.first = self.outcome = None
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


Stage = Callable[[Decider, Sequence[Case], Budget], Awaitable[Sequence[Case]]]
"""What is done for many at once; those that go on."""


def apart(stage: Stage) -> Stage:
    """``stage``, done again for each by itself where it fails for all: whose fault it is, they bear it.

    Only for what may be done twice.
    """

    async def staged(decider: Decider, cases: Sequence[Case], budget: Budget) -> Sequence[Case]:
        try:
            return await stage(decider, cases, budget)
        except Exception as error:
            if len(cases) == 1:
                cases[0].outcome = error
                return ()
            return [one for case in cases for one in await staged(decider, [case], budget)]

    return staged
