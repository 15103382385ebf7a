"""Sub-Gaussian IPS: weights are bent smoothly, so that errors have light tails however heavy the weights'.

Alberto Maria Metelli, Alessio Russo, Marcello Restelli: Subgaussian and Differentiable Importance Sampling
for Off-Policy Evaluation and Learning, 2021.
"""

from __future__ import annotations

from offline_eval.estimators.base import Estimator
from offline_eval.estimators.shrunk_fit import of_reward


def sub_gaussian_ips(share: float) -> Estimator:
    """Mean g r with g = w / (1 - L + L w), for a share L in [0, 1]; L = 0 is IPS.

    >>> from offline_eval.sums import sums_of_rows
    >>> one = sub_gaussian_ips(0.5)
    >>> rows = sums_of_rows([1, 0, 1, 0], [0.5] * 4, [1.0, 0.2, 1.0, 0.2], shrunk=(one.shrunk,))
    >>> one.fit(rows).value  # w = 2 counts 2 / 1.5
    0.6667
    """
    return of_reward("sgips", "sub_gaussian", share)
