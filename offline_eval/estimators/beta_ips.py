"""beta*-IPS: IPS with the best additive control variate. Asymptotically never worse than SNIPS.

Optimal Baseline Corrections for Off-Policy Contextual Bandits (Shashank Gupta, Olivier Jeunen, Harrie
Oosterhuis, Maarten de Rijke, 2024) has the idea; arXiv 2602.14914 (2026) that it dominates SNIPS.
"""

from __future__ import annotations

from offline_eval.estimators import ips
from offline_eval.estimators.base import Estimator, Fit, mean_fit
from offline_eval.sums import Sums
from offline_eval.terms import ONE, WEIGHT, WEIGHTED

_LEAST_SPREAD = 1e-18
"""Below this variance weights differ by rounding only, and a slope over them would be noise."""


def fit(sums: Sums) -> Fit:
    """Beta + mean w (r - beta) with beta = cov(w r, w) / var(w); plain IPS where all weights are equal.

    beta is taken as known in the interval: the value does not depend on it to first order.

    >>> from offline_eval.sums import sums_of_rows
    >>> fit(sums_of_rows(reward=[1, 0, 1, 0], propensity=[0.5] * 4, e=[0.8, 0.2, 0.4, 0.2])).value
    0.8667
    """
    spread = _covariance(sums, WEIGHT, WEIGHT)
    if spread <= _LEAST_SPREAD:
        return ips.fit(sums)
    slope = beta(sums) - sums.centre
    return mean_fit(sums, sums.unit(WEIGHTED) - slope * sums.unit(WEIGHT))


def beta(sums: Sums) -> float:
    """The control variate cov(w r, w) / var(w), in units of reward."""
    # w r = w (r - c) + c w: the constant adds itself to the slope.
    return sums.centre + _covariance(sums, WEIGHTED, WEIGHT) / _covariance(sums, WEIGHT, WEIGHT)


def _covariance(sums: Sums, i: int, j: int) -> float:
    """Population covariance of two terms."""
    means, total = sums.means, float(sums.second[ONE, ONE])
    cross = sums.second[i, j] - means[i] * sums.second[ONE, j] - means[j] * sums.second[ONE, i]
    return float(cross / total + means[i] * means[j])


BETA_IPS = Estimator("beta_ips", fit)
