"""Clipped DR: doubly robust with weights cut at a limit. Where the model is right, no bias comes of it.

Yi Su, Pavithra Srinath, Akshay Krishnamurthy: Adaptive Estimator Selection for Off-Policy Evaluation, 2020,
compare it with the others.
"""

from __future__ import annotations

from offline_eval.estimators.base import Estimator
from offline_eval.estimators.shrunk_fit import of_residual


def clipped_dr(limit: float) -> Estimator:
    """Mean v + min(w, L) (r - q).

    >>> from offline_eval.sums import sums_of_rows
    >>> one = clipped_dr(1.0)
    >>> r, p, e, q, v = [1, 0, 1, 0], [0.5] * 4, [0.8, 0.2, 0.8, 0.2], [0.9, 0.1] * 2, [0.74] * 4
    >>> one.fit(sums_of_rows(r, p, e, q, v, shrunk=(one.shrunk,))).value
    0.77
    """
    return of_residual("cdr", "clip", limit)
