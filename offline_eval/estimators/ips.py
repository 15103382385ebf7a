"""Inverse propensity scoring (Horvitz-Thompson): unbiased where the logger could do what the target does.

D. G. Horvitz, D. J. Thompson: A Generalization of Sampling Without Replacement From a Finite Universe, 1952;
for policies: Lihong Li, Wei Chu, John Langford, Xuanhui Wang: Unbiased Offline Evaluation of
Contextual-bandit-based News Article Recommendation Algorithms, 2011.
"""

from __future__ import annotations

from offline_eval.estimators.base import Estimator, Fit, mean_fit
from offline_eval.sums import Sums
from offline_eval.terms import WEIGHT, WEIGHTED


def fit(sums: Sums) -> Fit:
    """Mean w r, with the gaussian interval of a mean.

    >>> from offline_eval.sums import sums_of_rows
    >>> fit(sums_of_rows(reward=[1, 0, 1, 0], propensity=[0.5] * 4, e=[0.8, 0.2, 0.8, 0.2])).value
    0.8
    """
    # w r = c + w (r - c) + c (w - 1)
    return mean_fit(sums, sums.unit(WEIGHTED) + sums.centre * sums.unit(WEIGHT))


IPS = Estimator("ips", fit)
