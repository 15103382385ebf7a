"""The bucket bootstrap: whole buckets of units are drawn again and again, never single rows.

Bradley Efron, Robert Tibshirani: An Introduction to the Bootstrap, 1993; of ratios, numerator and denominator
are resampled together, which many get wrong. As in the infinitesimal jackknife, beta of beta*-IPS is not
chosen anew. A million rows or a hundred million are the same work: 1,024 small rows.
"""

from __future__ import annotations

import numpy as np

from offline_eval.clusters import Buckets
from offline_eval.errors import BadSums
from offline_eval.estimators.base import Fit
from offline_eval.terms import Floats

RESAMPLES = 1000


def resampled(buckets: Buckets, resamples: int = RESAMPLES, seed: int = 0) -> Floats:
    """(resamples, k) sums of terms, each of as many buckets as there are, drawn with replacement."""
    filled = buckets.first[buckets.first[:, 0] > 0]
    random = np.random.default_rng(seed)
    counts = random.multinomial(len(filled), np.full(len(filled), 1 / max(len(filled), 1)), resamples)
    sums: Floats = counts.astype(np.float64) @ filled
    return sums


def values_of(fit: Fit, sums: Floats) -> Floats:
    """(resamples,) what the estimator would have said."""
    ratios = [(sums @ ratio.numerator) / (sums @ ratio.denominator) for ratio in fit.ratios]
    values: Floats = fit.constant + np.sum(ratios, axis=0)
    return values


def bootstrap(fit: Fit, buckets: Buckets, sums: Floats, level: float = 0.95) -> tuple[float, float]:
    """The percentile interval.

    Args:
        fit: an estimate, or a difference of two.
        buckets: that were resampled.
        sums: (resamples, k) of :func:`resampled`, which serve every estimator.
        level: how often the interval holds the truth.

    Raises:
        BadSums: fit and buckets were centred by different constants.
    """
    if fit.constant not in (0.0, buckets.centre):
        raise BadSums("fit and buckets were centred by different constants: scan both with one")
    if buckets.filled < 2:
        return -np.inf, np.inf
    # Of B resamples the k-th is the quantile k / (B + 1): by another count few resamples are too bold.
    low, high = np.quantile(values_of(fit, sums), [(1 - level) / 2, (1 + level) / 2], method="weibull")
    return float(low), float(high)
