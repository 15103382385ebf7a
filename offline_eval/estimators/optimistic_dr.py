"""DRos, doubly robust with optimistic shrinkage: large weights fade smoothly to the model.

Yi Su, Maria Dimakopoulou, Akshay Krishnamurthy, Miroslav Dudík: Doubly Robust Off-Policy Evaluation with
Shrinkage, 2020.
"""

from __future__ import annotations

from offline_eval.estimators.base import Estimator
from offline_eval.estimators.shrunk_fit import of_residual


def optimistic_dr(strength: float) -> Estimator:
    """Mean v + g (r - q) with g = L w / (w² + L); L = 0 is DM, a large L is DR.

    >>> from offline_eval.sums import sums_of_rows
    >>> one = optimistic_dr(1.0)
    >>> r, p, e, q, v = [1, 0, 1, 0], [0.5] * 4, [0.5, 0.5, 0.5, 0.5], [0.9, 0.1] * 2, [0.74] * 4
    >>> one.fit(sums_of_rows(r, p, e, q, v, shrunk=(one.shrunk,))).value
    0.74
    """
    return of_residual("dros", "optimistic", strength)
