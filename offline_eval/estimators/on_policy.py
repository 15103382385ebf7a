"""On-policy mean: what the logging policy earned on the same rows. The zero line of every comparison."""

from __future__ import annotations

from offline_eval.estimators.base import Estimator, Fit, mean_fit
from offline_eval.sums import Sums
from offline_eval.terms import REWARD


def fit(sums: Sums) -> Fit:
    """Mean r.

    >>> from offline_eval.sums import sums_of_rows
    >>> fit(sums_of_rows(reward=[1, 0, 1, 0], propensity=[0.5] * 4, e=[0.8, 0.2, 0.8, 0.2])).value
    0.5
    """
    return mean_fit(sums, sums.unit(REWARD))


ON_POLICY = Estimator("on_policy", fit, needs_weights=False)
