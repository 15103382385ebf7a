"""The draw, which anybody can make again who holds the secret."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from decision_service.decider import Decider
from decision_service.plan import Plan
from decision_service.scored import Scored
from sidecar.policy.sampling import seed_of


class Choice(Struct, frozen=True):
    """What was drawn."""

    index: int
    propensity: float
    seed: int


def choose(decider: Decider, plan: Plan, scored: Scored, pmf: npt.NDArray[np.float64]) -> Choice:
    """Draw from ``pmf`` with a seed that is a keyed hash of the decision's id: anybody can draw it again."""
    seed = seed_of(plan.decision_id, decider.secret)
    index = scored.draw(pmf, seed)
    return Choice(index, float(pmf[index]), seed)
