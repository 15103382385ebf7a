"""Two models on the same examples: how much more the one would earn, and how much better it orders.

Both differences are paired, so that what both models share (the traffic, the luck, the level of rewards)
cancels, and both come with half the width of an interval. That is ``sqrt(2 ln(1/δ))`` standard errors: the
bound of a Gaussian tail, which for δ = 0.001 is as wide as a normal quantile of 0.0001. The reserve is for
what the normal approximation neglects.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]

LEAST_OF_EACH = 20
"""Examples with and without reward below which an AUC says nothing."""


class Estimate(NamedTuple):
    """A difference and half the width of its interval."""

    value: float
    error: float


def standard_errors(wrong_share: float) -> float:
    """How many make half an interval that a model on the margin escapes from below with that chance at most.

    >>> round(standard_errors(0.001), 2)
    3.72
    """
    return math.sqrt(2.0 * math.log(1.0 / wrong_share))


def reward_difference(moved: Floats, spread: Floats, reward: Floats, wide: float) -> Estimate:
    """Mean reward a decision, candidate less reference: inverse propensities around the mean reward.

    The weights of both policies have mean one, so that their difference has mean zero and any constant may be
    taken from the rewards: unbiased, and nothing moves when all rewards are shifted.

    The variance is not taken from the sample alone. What speaks for a candidate are the few decisions that
    showed by chance what it would show now; a window without any of them looks like a certain loss. But how
    often such decisions come is known, from the pmf that they were drawn from: that part of the variance is
    computed, not estimated.

    Args:
        moved: (pmf of candidate - pmf of reference) at the shown arm / propensity.
        spread: mean of the square of that over the draw of the arm.
        reward: of each decision.
        wide: standard errors to either side.
    """
    centred = reward - reward.mean()
    gains = moved * centred
    variance = max(float(np.mean((gains - gains.mean()) ** 2)), float(spread.mean() * np.mean(centred**2)))
    return Estimate(float(gains.mean()), wide * math.sqrt(variance / len(reward)))


def auc_difference(candidate: Floats, reference: Floats, earned: Booleans, wide: float) -> Estimate | None:
    """AUC of candidate less reference, of the expectations of what was shown; None with too few of a class.

    Elizabeth R. DeLong, David M. DeLong, Daniel L. Clarke-Pearson: Comparing the Areas under Two or More
    Correlated Receiver Operating Characteristic Curves, 1988.
    """
    if min(np.count_nonzero(earned), np.count_nonzero(~earned)) < LEAST_OF_EACH:
        return None
    ones, others = _placements(candidate, earned), _placements(reference, earned)
    by_earned, by_empty = ones[0] - others[0], ones[1] - others[1]
    variance = by_earned.var(ddof=1) / len(by_earned) + by_empty.var(ddof=1) / len(by_empty)
    return Estimate(float(by_earned.mean()), wide * math.sqrt(variance))


def _placements(expected: Floats, earned: Booleans) -> tuple[Floats, Floats]:
    """Share of the other class that each example is on the right side of; both means are the AUC."""
    high, low = expected[earned], expected[~earned]
    return _share_below(high, low), 1.0 - _share_below(low, high)


def _share_below(values: Floats, others: Floats) -> Floats:
    ordered = np.sort(others)
    both = np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")
    share: Floats = both / (2.0 * len(ordered))
    return share
