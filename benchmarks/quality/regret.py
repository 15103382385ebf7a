"""The ratio of two mean regrets over paired runs, with an interval.

A ratio of means, not a mean of ratios: it is what a user of many worlds would lose. E. C. Fieller: Some
Problems in Interval Estimation, 1954: the interval of a ratio of two means of paired normal variables, exact
for any number of pairs. A run's regret is a sum over thousands of rounds, which is what speaks for normal.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats


class Ratio(NamedTuple):
    """A ratio and its interval."""

    value: float
    low: float
    high: float


def ratio_of(ours: Sequence[float], theirs: Sequence[float], fails: float) -> Ratio:
    """Mean of ``ours`` over mean of ``theirs``; the truth lies outside the interval with chance ``fails``.

    Args:
        ours: one for each run.
        theirs: of the same runs, in the same order.
        fails: both sides together.

    Raises:
        ValueError: fewer than two runs, or a denominator that cannot be told from 0.

    >>> [round(end, 3) for end in ratio_of([10.1, 11.9, 14.2], [10.0, 12.0, 14.0], 0.05)]
    [1.006, 0.967, 1.036]
    """
    if len(ours) != len(theirs) or len(ours) < 2:
        raise ValueError(f"{len(ours)} and {len(theirs)} runs: a ratio needs at least two pairs")
    quantile = float(stats.t.ppf(1.0 - fails / 2.0, len(ours) - 1))
    scale = quantile**2 / len(ours)
    (oo, ot), (_, tt) = np.cov(ours, theirs).tolist()
    mean_ours, mean_theirs = float(np.mean(ours)), float(np.mean(theirs))
    square = mean_theirs**2 - scale * tt
    if square <= 0.0:
        raise ValueError("the denominator cannot be told from 0: the ratio has no interval")
    middle = mean_ours * mean_theirs - scale * ot
    root = math.sqrt(max(middle**2 - square * (mean_ours**2 - scale * oo), 0.0))
    return Ratio(mean_ours / mean_theirs, (middle - root) / square, (middle + root) / square)


def mean_of(values: Sequence[float], fails: float) -> Ratio:
    """A mean with its interval (Student, 1908), as a ratio to 1."""
    half = float(stats.t.ppf(1.0 - fails / 2.0, len(values) - 1)) * float(stats.sem(values))
    mean = float(np.mean(values))
    return Ratio(mean, mean - half, mean + half)
