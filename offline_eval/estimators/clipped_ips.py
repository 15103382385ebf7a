"""Clipped IPS: weights above a limit are cut to it, which trades variance for a bias towards zero.

Edward L. Ionides: Truncated Importance Sampling, 2008; Léon Bottou et al.: Counterfactual Reasoning and
Learning Systems, 2013.
"""

from __future__ import annotations

from functools import partial

from offline_eval.estimators.base import Estimator, Fit, mean_fit
from offline_eval.sums import CLIPPED, Sums


def fit(sums: Sums, limit: float) -> Fit:
    """Mean min(w, L) r.

    Raises:
        ValueError: the sums were not made with this limit.

    >>> from offline_eval.sums import sums_of_rows
    >>> rows = sums_of_rows([1, 0, 1, 0], [0.5] * 4, [0.8, 0.2, 0.8, 0.2], clip_limits=(1.5,))
    >>> fit(rows, 1.5).value
    0.75
    """
    return mean_fit(sums, sums.unit(CLIPPED + sums.clip_limits.index(limit)))


def clipped_mass(sums: Sums, limit: float) -> float:
    """Share of the summed weight that the limit cuts off, in [0, 1]: how much the estimate may be off."""
    if not sums.weight:
        return 0.0
    return max(0.0, 1.0 - sums.clipped_weight[sums.clip_limits.index(limit)] / sums.weight)


def clipped_ips(limit: float) -> Estimator:
    """Clipped IPS at one limit."""
    return Estimator(f"cips_{limit:g}", partial(fit, limit=limit))
