"""The empirical Bernstein interval: right at any number of rows, for scores that are bounded.

Andreas Maurer, Massimiliano Pontil: Empirical Bernstein Bounds and Sample Variance Penalization, 2009,
theorem 4, on either side with half the error. The score of a row lies in a range that weights and rewards
give; the largest weight has to be known beforehand (a clip limit, or the smallest probability of the logger's
exploration) for the guarantee to hold, the largest that was seen is a stand-in.
"""

from __future__ import annotations

import math

from offline_eval.estimators.base import Fit, standard_error
from offline_eval.sums import Sums


def bernstein(sums: Sums, fit: Fit, span: float, level: float = 0.95) -> tuple[float, float]:
    """Mean ± (sqrt(2 var ln(4/a) / n) + 7 span ln(4/a) / (3 (n - 1))), with a = 1 - level.

    Args:
        sums: that the fit was made of.
        fit: a mean (not a ratio, whose denominator is random).
        span: of a row's score, such as ``span_of_weighted``.
        level: how often the interval holds the truth, at least.

    Raises:
        ValueError: the fit is a ratio.
    """
    if not fit.is_mean:
        raise ValueError("the Bernstein bound is for means: ips, clipped ips, dm, dr and the like")
    if sums.rows < 2:
        return -math.inf, math.inf
    log = math.log(4 / (1 - level))
    half = math.sqrt(2 * log) * standard_error(sums, fit) + 7 * span * log / (3 * (sums.rows - 1))
    return fit.value - half, fit.value + half


def span_of_weighted(most_weight: float, least_reward: float, most_reward: float) -> float:
    """Range of w r for weights in [0, most_weight].

    >>> span_of_weighted(20.0, 0.0, 1.0), span_of_weighted(20.0, -1.0, 1.0)
    (20.0, 40.0)
    """
    return most_weight * (max(most_reward, 0.0) - min(least_reward, 0.0))


def span_of_doubly_robust(most_weight: float, least_reward: float, most_reward: float) -> float:
    """Range of v + w (r - q), for a model whose answers lie within the rewards.

    >>> span_of_doubly_robust(20.0, 0.0, 1.0)
    41.0
    """
    return (2 * most_weight + 1) * (most_reward - least_reward)
