"""The draw, which anybody can make again who holds the secret."""

from __future__ import annotations

from msgspec import Struct

from decision_service.decider import Decider
from decision_service.plan import Plan
from decision_service.scored import Scored
from sidecar.policy.exploration import Pmf
from sidecar.policy.sampling import seed_of


class Choice(Struct, frozen=True):
    """What was drawn."""

    index: int
    propensity: float
    seed: int


def choose(decider: Decider, plan: Plan, scored: Scored) -> tuple[Pmf, Choice]:
    """What was drawn from, and what was, with a keyed hash of the id as seed: anybody can draw it again."""
    seed = seed_of(plan.decision_id, decider.secret)
    pmf, index = scored.drawn(seed)
    return pmf, Choice(index, pmf.item(index), seed)
