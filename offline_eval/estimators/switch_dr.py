"""Switch-DR: rows whose weight exceeds a threshold are left to the model alone.

Yu-Xiang Wang, Alekh Agarwal, Miroslav Dudík: Optimal and Adaptive Off-policy Evaluation in Contextual
Bandits, 2017. The switch is hard: a weight that equals the threshold but for the last digit falls on
either side.
"""

from __future__ import annotations

from offline_eval.estimators.base import Estimator
from offline_eval.estimators.shrunk_fit import of_residual


def switch_dr(threshold: float) -> Estimator:
    """Mean v + w (r - q) where w <= the threshold, mean v elsewhere.

    >>> from offline_eval.sums import sums_of_rows
    >>> one = switch_dr(1.0)
    >>> r, p, e, q, v = [1, 0, 1, 0], [0.5] * 4, [0.8, 0.2, 0.4, 0.2], [0.9, 0.1] * 2, [0.74] * 4
    >>> one.fit(sums_of_rows(r, p, e, q, v, shrunk=(one.shrunk,))).value
    0.74
    """
    return of_residual("switch_dr", "switch", threshold)
