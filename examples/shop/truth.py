"""What weights are worth in the shop: the exact value of the greedy policy on them, by the simulator.

Scores come from ``sidecar.policy``, the code that serves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from decision_service.sources.rows import Key
from examples.shop.features import GUEST, Offer, Profile, fits_budget, is_scarce, read_rows
from examples.shop.simulator import (
    BANDS,
    Shopper,
    Tastes,
    best_value,
    own_tastes,
    policy_value,
    uniform_value,
)
from sidecar.contracts.application import Exploration, Features
from sidecar.contracts.arm_features import Columns, column_of
from sidecar.contracts.catalogue import Catalogue
from sidecar.contracts.weights import Weights
from sidecar.contracts.wire import ScoreRequest, ScoreRow
from sidecar.policy.held_arms import ArmTables
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


@cache
def scored_arms(segment: str, arms: tuple[str, ...]) -> Columns:
    """The features of products that the model sees, as the graph makes them for a shopper of a segment.

    Raises:
        ValueError: customers of the segment have different budgets, so that they are not all alike.
    """
    offers: dict[Key, Offer] = dict(read_rows("offers.json", Offer).items())
    budgets = {one.budget for one in read_rows("customers.json", Profile).values() if one.segment == segment}
    if len(budgets) > 1:
        raise ValueError(f"customers of segment {segment!r} have budgets {sorted(map(str, budgets))}")
    (budget,) = budgets or {GUEST.budget}
    columns = {
        "scarce": column_of([is_scarce(arm, offers) for arm in arms]),
        "in_budget": column_of([fits_budget(arm, offers, budget) for arm in arms]),
    }
    return {name: column for name, column in columns.items() if column is not None}


def worth_of(weights: Weights | None, catalogue: Catalogue, tastes: Tastes = own_tastes) -> Worth:
    """The greedy policy on ``weights``, beside the uniform and the best one; equal scores share."""
    arms = catalogue.arms
    greedy = greedy_value(weights, catalogue, tastes)
    return Worth(uniform_value(arms, tastes), greedy, best_value(arms, tastes))


def greedy_value(weights: Weights | None, catalogue: Catalogue, tastes: Tastes = own_tastes) -> float:
    """The greedy policy on ``weights``, purchases a session in the long run; equal scores share."""
    tables = ArmTables()
    return policy_value(lambda who: _greedy(who, weights, catalogue, tables), catalogue.arms, tastes)


def best_arm(shopper: Shopper, weights: Weights, catalogue: Catalogue) -> str:
    """What the greedy policy shows a shopper."""
    pmf = _greedy(shopper, weights, catalogue, ArmTables())
    return catalogue.arms[int(np.argmax(pmf))].id


def _greedy(
    shopper: Shopper, weights: Weights | None, catalogue: Catalogue, tables: ArmTables
) -> Sequence[float]:
    ids = tuple(arm.id for arm in catalogue.arms)
    row = ScoreRow(scored_context(shopper), arm_features=scored_arms(shopper.segment, ids))
    request = ScoreRequest((row,), (_GREEDY,), catalogue.version, catalogue.arms)
    answer: list[float] = np.frombuffer(score(request, weights, tables).rows[0].pmf, "<f8").tolist()
    return answer
