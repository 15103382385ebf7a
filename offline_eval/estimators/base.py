"""What every estimator is made of: a value, how each row moves it, and the interval that follows.

An estimator here is a smooth function of the mean terms (``offline_eval.sums``). Its *influence* is the
linear combination of a row's terms that says how that row moves the value (the gradient of the delta method,
centred so that it sums to zero over the rows). The standard error is the root of the summed squares of the
influence, over the total. So one formula gives the gaussian interval of means, the delta interval of ratios,
and, with the difference of two influences, the interval of a paired difference.

The general result: Bradley Efron, Robert Tibshirani: An Introduction to the Bootstrap, 1993, chapter 21.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

from offline_eval.sums import Floats, Sums


@dataclass(frozen=True, eq=False)
class Fit:
    """A point estimate and its influence."""

    value: float
    influence: Floats
    """(k,) coefficients of the terms."""
    is_mean: bool = True
    """A plain mean of rows, whose variance has n - 1 below; ratios have no such correction."""


@dataclass(frozen=True)
class Estimator:
    """One way to estimate a policy's value."""

    name: str
    fit: Callable[[Sums], Fit]
    needs_weights: bool = True
    """It divides by propensities: without overlap it says nothing."""
    needs_model: bool = False
    """It uses q and v."""


def mean_fit(sums: Sums, coefficients: Floats) -> Fit:
    """The estimator c + mean(coefficients · y)."""
    mean = float(coefficients @ sums.first) / sums.total
    return Fit(sums.centre + mean, coefficients - mean * sums.unit(0))


def standard_error(sums: Sums, fit: Fit) -> float:
    """Standard error of the value, from the same sums; infinite with fewer than two rows."""
    if sums.rows < 2:
        return math.inf
    squares = float(fit.influence @ sums.second @ fit.influence)
    # Rounding can leave the variance of equal rows a hair below zero.
    correction = sums.rows / (sums.rows - 1) if fit.is_mean else 1.0
    return math.sqrt(max(squares, 0.0) * correction) / sums.total


def difference(fit: Fit, other: Fit) -> Fit:
    """``fit`` less ``other`` on the same rows: what both share cancels, also in the interval."""
    return Fit(fit.value - other.value, fit.influence - other.influence, fit.is_mean and other.is_mean)


def interval(value: float, error: float, level: float = 0.95) -> tuple[float, float]:
    """The normal interval around ``value``.

    >>> interval(1.0, 0.5)
    (0.0200, 1.9799)
    """
    half = NormalDist().inv_cdf(0.5 + level / 2) * error if error else 0.0
    return value - half, value + half
