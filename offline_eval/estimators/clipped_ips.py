"""Clipped IPS: weights above a limit are cut to it, which trades variance for a bias towards zero.

Edward L. Ionides: Truncated Importance Sampling, 2008; Léon Bottou et al.: Counterfactual Reasoning and
Learning Systems, 2013.
"""

from __future__ import annotations

from offline_eval.estimators.base import Estimator
from offline_eval.estimators.shrunk_fit import of_reward
from offline_eval.sums import Sums
from offline_eval.terms import SHRUNK, Shrunk


def clipped_ips(limit: float) -> Estimator:
    """Mean min(w, L) r.

    >>> from offline_eval.sums import sums_of_rows
    >>> one = clipped_ips(1.5)
    >>> rows = sums_of_rows([1, 0, 1, 0], [0.5] * 4, [0.8, 0.2, 0.8, 0.2], shrunk=(one.shrunk,))
    >>> one.fit(rows).value
    0.75
    """
    return of_reward("cips", "clip", limit)


def clipped_mass(sums: Sums, shrunk: Shrunk) -> float:
    """Share of the summed weight that its limit cuts off, in [0, 1]: how much the estimate may be off."""
    if not sums.weight:
        return 0.0
    kept = sums.shrunk_weight[sums.place(shrunk) - SHRUNK]
    return max(0.0, 1.0 - kept / sums.weight)
