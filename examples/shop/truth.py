"""What weights are worth in the shop: the exact value of the greedy policy on them, by the simulator.

Scores come from ``sidecar.policy``, the code that serves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from examples.shop.simulator import BANDS, Shopper, best_value, policy_value, uniform_value
from sidecar.contracts.application import Catalogue, Exploration, Features
from sidecar.contracts.weights import Weights
from sidecar.contracts.wire import ScoreRequest, ScoreRow
from sidecar.policy.adapters import ArmTables
from sidecar.policy.pipeline import score

_GREEDY = Exploration("epsilon_greedy", 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Worth:
    """Purchases a session, in the long run."""

    uniform: float
    greedy: float
    best: float

    @property
    def share_of_gain(self) -> float:
        """How much of what the best policy gains over the uniform one the greedy policy gains."""
        return (self.greedy - self.uniform) / (self.best - self.uniform)


def scored_context(shopper: Shopper) -> Features:
    """The context that the model sees: what the front end sends and what the graph makes of it."""
    return {
        "device": shopper.device,
        "hour": float(shopper.hour),
        "returning": shopper.returning,
        "segment": shopper.segment,
        "hour_band": BANDS[shopper.hour // 6],
    }


def worth_of(weights: Weights | None, catalogue: Catalogue) -> Worth:
    """The greedy policy on ``weights``, beside the uniform and the best one; equal scores share."""
    tables = ArmTables()
    arms = catalogue.arms
    earned = policy_value(lambda shopper: _greedy(shopper, weights, catalogue, tables), arms)
    return Worth(uniform_value(arms), earned, best_value(arms))


def best_arm(shopper: Shopper, weights: Weights, catalogue: Catalogue) -> str:
    """What the greedy policy shows a shopper."""
    pmf = _greedy(shopper, weights, catalogue, ArmTables())
    return catalogue.arms[int(np.argmax(pmf))].id


def _greedy(
    shopper: Shopper, weights: Weights | None, catalogue: Catalogue, tables: ArmTables
) -> Sequence[float]:
    row = ScoreRow(scored_context(shopper))
    request = ScoreRequest((row,), (_GREEDY,), catalogue.version, catalogue.arms)
    answer: list[float] = np.frombuffer(score(request, weights, tables).rows[0].pmf, "<f8").tolist()
    return answer
