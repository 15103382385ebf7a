"""Self-normalised doubly robust: DR whose correction is a weighted mean, as in SNIPS.

Philip S. Thomas, Emma Brunskill: Data-Efficient Off-Policy Policy Evaluation for Reinforcement Learning,
2016. The interval is the delta method's.
"""

from __future__ import annotations

from offline_eval.estimators.base import Estimator, Fit, Ratio, ratio_fit
from offline_eval.sums import Sums
from offline_eval.terms import MODEL, ONE, RESIDUAL, WEIGHT


def fit(sums: Sums) -> Fit:
    """Mean v + sum w (r - q) / sum w.

    >>> from offline_eval.sums import sums_of_rows
    >>> rows = sums_of_rows([1, 0, 1, 0], [0.5] * 4, [0.8, 0.2, 0.4, 0.2], q=[0.9, 0.1] * 2, v=[0.74] * 4)
    >>> fit(rows).value
    0.79
    """
    correction = Ratio(sums.unit(RESIDUAL), sums.unit(ONE, WEIGHT))
    return ratio_fit(sums, Ratio(sums.unit(MODEL), sums.unit(ONE)), correction)


SNDR = Estimator("sndr", fit, needs_model=True)
