"""What every estimator is made of: a sum of ratios of sums, and the influence of each row that follows.

An estimator here is ``c + sum of (n · Y) / (d · Y)``, where Y are the sums of the terms
(``offline_eval.terms``) and n, d fixed vectors; a mean has d · Y = the rows. Its *influence* is the linear
combination of a row's terms that says how that row moves the value (the gradient of the delta method, centred
so that it sums to zero over the rows). The standard error is the root of the summed squares of the influence,
over the total. So one formula gives the gaussian interval of means, the delta interval of ratios, and, with
the difference of two influences, the interval of a paired difference; and ratios of resampled sums are a
bootstrap whose denominator is resampled too.

The general result: Bradley Efron, Robert Tibshirani: An Introduction to the Bootstrap, 1993, chapter 21.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from offline_eval.sums import Sums
from offline_eval.terms import ONE, Floats, Plan, Shrunk


class Ratio(NamedTuple):
    """(n · Y) / (d · Y)."""

    numerator: Floats
    """(k,) n."""
    denominator: Floats
    """(k,) d."""


@dataclass(frozen=True, eq=False)
class Fit:
    """A point estimate and its influence."""

    value: float
    influence: Floats
    """(k,) coefficients of the terms."""
    constant: float
    """c, that the ratios are added to."""
    ratios: tuple[Ratio, ...]
    """What the value is made of, for resampling."""
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
    needs_one_propensity: bool = False
    """It is right only where the logger drew every arm with the same probability."""
    shrunk: Shrunk | None = None
    """The term that it reads beyond the usual ones."""


def ratio_fit(sums: Sums, *ratios: Ratio) -> Fit:
    """The estimator c + the ratios, with the delta method's influence.

    Its squares sum to those of a row's ``(n · y - R d · y) · total / (d · Y)``.
    """
    value, influence = sums.centre, np.zeros(len(sums.first))
    for numerator, denominator in ratios:
        bottom = dot(denominator, sums.first)
        ratio = dot(numerator, sums.first) / bottom
        value += ratio
        influence += (numerator - ratio * denominator) * (sums.total / bottom)
    is_mean = all(np.array_equal(ratio.denominator, sums.unit(ONE)) for ratio in ratios)
    return Fit(value, influence, sums.centre, ratios, is_mean)


def dot(coefficients: Floats, values: Floats) -> float:
    """Their product; what has no coefficient may be anything, also infinite.

    >>> dot(np.array([0.0, 2.0]), np.array([np.inf, 3.0]))
    6.0
    """
    used = np.flatnonzero(coefficients)
    return float(coefficients[used] @ values[used])


def mean_fit(sums: Sums, coefficients: Floats) -> Fit:
    """The estimator c + mean(coefficients · y)."""
    return ratio_fit(sums, Ratio(coefficients, sums.unit(ONE)))


def standard_error(sums: Sums, fit: Fit) -> float:
    """Standard error of the value, from the same sums; infinite with fewer than two rows.

    NaN where the scan did not sum what it takes.
    """
    if sums.rows < 2:
        return math.inf
    used = np.flatnonzero(fit.influence)
    products = sums.second[np.ix_(used, used)]
    if np.isposinf(products).any():  # of a single cluster, which says nothing of others
        return math.inf
    squares = float(fit.influence[used] @ products @ fit.influence[used])
    # Rounding can leave the variance of equal rows a hair below zero.
    correction = sums.rows / (sums.rows - 1) if fit.is_mean else 1.0
    return math.sqrt(max(squares, 0.0) * correction) / sums.total if squares == squares else math.nan


def difference(fit: Fit, other: Fit) -> Fit:
    """``fit`` less ``other`` on the same rows: what both share cancels, also in the interval."""
    negated = tuple(Ratio(-ratio.numerator, ratio.denominator) for ratio in other.ratios)
    return Fit(
        fit.value - other.value,
        fit.influence - other.influence,
        fit.constant - other.constant,
        fit.ratios + negated,
        fit.is_mean and other.is_mean,
    )


def interval(value: float, error: float, level: float = 0.95) -> tuple[float, float]:
    """The normal interval around ``value``.

    >>> interval(1.0, 0.5)
    (0.0200, 1.9799)
    """
    half = NormalDist().inv_cdf(0.5 + level / 2) * error if error else 0.0
    return value - half, value + half


def plan_of(estimators: tuple[Estimator, ...], against_logger: bool = True, heaviest: int = 0) -> Plan:
    """What a scan must sum for these estimators."""
    shrunk = dict.fromkeys(one.shrunk for one in estimators if one.shrunk is not None)
    return Plan(tuple(shrunk), against_logger, any(one.needs_one_propensity for one in estimators), heaviest)
