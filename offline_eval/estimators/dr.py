"""Doubly robust: the model's answer, corrected by weighted residuals. Right when either of the two is.

Miroslav Dudík, John Langford, Lihong Li: Doubly Robust Policy Evaluation and Learning, 2011.
"""

from __future__ import annotations

from offline_eval.estimators.base import Estimator, Fit, mean_fit
from offline_eval.sums import Sums
from offline_eval.terms import MODEL, RESIDUAL


def fit(sums: Sums) -> Fit:
    """Mean v + w (r - q), with the gaussian interval of a mean.

    >>> from offline_eval.sums import sums_of_rows
    >>> rows = sums_of_rows([1, 0, 1, 0], [0.5] * 4, [0.8, 0.2, 0.8, 0.2], q=[0.9, 0.1] * 2, v=[0.74] * 4)
    >>> fit(rows).value
    0.8
    """
    return mean_fit(sums, sums.unit(MODEL, RESIDUAL))


DR = Estimator("dr", fit, needs_model=True)
