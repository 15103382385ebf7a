"""Sub-Gaussian DR: doubly robust with the smoothly bent weights of sub-Gaussian IPS.

Alberto Maria Metelli, Alessio Russo, Marcello Restelli: Subgaussian and Differentiable Importance Sampling
for Off-Policy Evaluation and Learning, 2021.
"""

from __future__ import annotations

from offline_eval.estimators.base import Estimator
from offline_eval.estimators.shrunk_fit import of_residual


def sub_gaussian_dr(share: float) -> Estimator:
    """Mean v + g (r - q) with g = w / (1 - L + L w), for a share L in [0, 1]; L = 0 is DR.

    >>> from offline_eval.sums import sums_of_rows
    >>> one = sub_gaussian_dr(1.0)
    >>> r, p, e, q, v = [1, 0, 1, 0], [0.5] * 4, [0.8, 0.2, 0.8, 0.2], [0.9, 0.1] * 2, [0.74] * 4
    >>> one.fit(sums_of_rows(r, p, e, q, v, shrunk=(one.shrunk,))).value
    0.74
    """
    return of_residual("sgdr", "sub_gaussian", share)
