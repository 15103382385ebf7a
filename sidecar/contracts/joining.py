"""Raw rewards of one decision to the one number that is shown, learnt and logged. Pure.

Rewards are taken in the order (store's millisecond, key), never in the order in which they happen to be
listed, and sums are exactly rounded: whoever joins the same rewards gets the same bits.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from sidecar.contracts.events import RewardRecord
from sidecar.contracts.reward_section import Aggregation, RewardConfig


class JoinedReward(NamedTuple):
    """What came of a decision within its horizon."""

    value: float
    """NaN when the rewards have no finite sum."""
    count: int  # type: ignore[assignment]  # shadows tuple.count, which nobody calls
    """Rewards merged into ``value``; 0 means that it is the default."""
    first_at_ms: int | None
    """When the first one arrived, by the store's clock."""


AGGREGATIONS: Mapping[Aggregation, Callable[[list[float]], float]] = {
    "sum": math.fsum,
    "earliest": lambda values: values[0],
    "latest": lambda values: values[-1],
    "max": max,
    "min": min,
    "mean": statistics.fmean,
    "median": statistics.median,
}
"""Aggregation to function of the values in (store's millisecond, key) order, at least one of them."""


def join(rewards: Iterable[RewardRecord], config: RewardConfig) -> JoinedReward:
    """Merge the rewards of one decision as the application says.

    >>> join([], RewardConfig(default=-0.1))
    JoinedReward(value=-0.1, count=0, first_at_ms=None)
    >>> late, soon = RewardRecord("b", 20, 2.0, 0), RewardRecord("a", 10, 1.5, 0)
    >>> join([late, soon], RewardConfig(aggregation="earliest"))
    JoinedReward(value=1.5, count=2, first_at_ms=10)
    """
    ordered = sorted(rewards, key=_by_arrival)
    if not ordered:
        return JoinedReward(config.default, 0, None)
    value = _aggregated(config.aggregation, [record.value for record in ordered])
    return JoinedReward(float(value), len(ordered), ordered[0].at_ms)


def _aggregated(aggregation: Aggregation, values: list[float]) -> float:
    """One number, or NaN: a decision whose rewards cannot be added must not stop those beside it."""
    try:
        return AGGREGATIONS[aggregation](values)
    except (OverflowError, ValueError):
        return math.nan


def _by_arrival(record: RewardRecord) -> tuple[int, str]:
    return record.at_ms, record.key
