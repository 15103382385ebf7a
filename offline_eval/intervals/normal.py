"""The normal interval: gaussian for a mean, delta method for a ratio, cluster-robust on clustered sums."""

from __future__ import annotations

from offline_eval.estimators.base import Fit, interval, standard_error
from offline_eval.sums import Sums


def normal(sums: Sums, fit: Fit, level: float = 0.95) -> tuple[float, float]:
    """Value plus and minus the quantile times the standard error.

    Args:
        sums: that the fit was made of; from ``clusters.clustered`` the interval is cluster-robust.
        fit: an estimate, or a difference of two.
        level: how often the interval holds the truth.

    >>> from offline_eval.estimators import snips
    >>> from offline_eval.sums import sums_of_rows
    >>> rows = sums_of_rows(reward=[1, 0, 1, 0], propensity=[0.5] * 4, e=[0.8, 0.2, 0.4, 0.2])
    >>> normal(rows, snips.fit(rows))
    (0.3724, 1.1276)
    """
    return interval(fit.value, standard_error(sums, fit), level)
