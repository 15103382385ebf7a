"""Clopper-Pearson on w r / wmax: for rare rewards in [0, 1], where the normal interval is too bold.

C. J. Clopper, E. S. Pearson: The Use of Confidence or Fiducial Limits Illustrated in the Case of the
Binomial, 1934. With weights up to wmax, n rows say as much about the value as n / wmax throws of a coin of
that chance: its variance, wmax V (1 - V) / n, is the largest that w r can have, but for V² (wmax - 1) / n.
"""

from __future__ import annotations

from offline_eval.special import beta_quantile
from offline_eval.sums import Sums
from offline_eval.terms import WEIGHT, WEIGHTED


def clopper_pearson(sums: Sums, level: float = 0.95, most_weight: float | None = None) -> tuple[float, float]:
    """The interval of IPS; within [0, 1].

    Args:
        sums: of rewards in [0, 1].
        level: how often the interval holds the truth.
        most_weight: bound of w; None takes the largest that was seen.

    >>> from offline_eval.sums import sums_of_rows
    >>> clopper_pearson(sums_of_rows(reward=[1, 0, 0, 0], propensity=[0.5] * 4, e=[0.5] * 4))
    (0.0063, 0.8059)
    """
    top = sums.max_weight if most_weight is None else most_weight
    if not sums.rows or top <= 0:
        return 0.0, 1.0
    weighted = float(sums.first[WEIGHTED]) + sums.centre * (sums.total + float(sums.first[WEIGHT]))
    throws = sums.total / top
    hits = min(max(weighted / top, 0.0), throws)
    tail = (1 - level) / 2
    low = beta_quantile(tail, hits, throws - hits + 1) if hits > 0 else 0.0
    high = beta_quantile(1 - tail, hits + 1, throws - hits) if hits < throws else 1.0
    return low, high
