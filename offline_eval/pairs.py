"""Two policies on the same rows: the difference that people ask for, with what both share cancelled.

Olivier Jeunen, Aleksei Ustimenko: Delta-OPE: Off-Policy Estimation with Pairs of Policies, 2024. One scan
sums the terms of both policies and the products between them, so that the difference of any estimator has the
interval of the row-wise differences, which is narrower than two intervals side by side suggest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import duckdb
import numpy as np

from offline_eval.errors import BadSums
from offline_eval.estimators.base import Estimator, Fit, standard_error
from offline_eval.scan import scanned
from offline_eval.sums import Sums, combine, moved, recentred, recentring
from offline_eval.term_sql import shape_of
from offline_eval.terms import WEIGHT, WEIGHTED, Floats, Plan


@dataclass(frozen=True, eq=False)
class Pair:
    """The sums of two policies on the same rows."""

    left: Sums
    right: Sums
    cross: Floats
    """(k, k) sums of s²·y·y'ᵀ; NaN where no estimator asked for it."""


@dataclass(frozen=True)
class Difference:
    """What the left policy is worth more than the right."""

    value: float
    standard_error: float


def partial_pair(
    connection: duckdb.DuckDBPyConnection, relation: str, centre: float, plan: Plan | None = None
) -> Pair:
    """Scan a relation that has ``e_2`` and ``v_2`` of a second policy beside ``e`` and ``v``.

    A row that one of the policies cannot use counts for neither.
    """
    shape = shape_of(connection, relation, centre, plan or Plan(), policies=("", "_2"))
    (left, right), cross = scanned(connection, relation, shape)[()]
    if cross is None:
        raise BadSums("a pair needs two policies")
    return Pair(left, right, cross)


def combine_pairs(parts: list[Pair]) -> Pair:
    """The sums of all parts together.

    Raises:
        BadSums: no parts, or parts with different shrunk terms.
    """
    left, right = combine([part.left for part in parts]), combine([part.right for part in parts])
    moves = [(recentring(part.left, left.centre), recentring(part.right, right.centre)) for part in parts]
    crosses = [moved(a, part.cross, b) for (a, b), part in zip(moves, parts, strict=True)]
    return Pair(left, recentred(right, left.centre), np.sum(crosses, axis=0))


def delta(pair: Pair, estimator: Estimator) -> Difference:
    """The difference by one estimator, paired."""
    left, right = estimator.fit(pair.left), estimator.fit(pair.right)
    return Difference(left.value - right.value, paired_error(pair, left, right))


def paired_error(pair: Pair, left: Fit, right: Fit) -> float:
    """Standard error of the difference: var(a - b) = var(a) + var(b) - 2 cov(a, b)."""
    if pair.left.rows < 2:
        return math.inf
    rows, columns = np.flatnonzero(left.influence), np.flatnonzero(right.influence)
    between = float(left.influence[rows] @ pair.cross[np.ix_(rows, columns)] @ right.influence[columns])
    correction = pair.left.rows / (pair.left.rows - 1) if left.is_mean and right.is_mean else 1.0
    squares = standard_error(pair.left, left) ** 2 + standard_error(pair.right, right) ** 2
    variance = squares - 2 * between * correction / pair.left.total**2
    return math.sqrt(max(variance, 0.0)) if variance == variance else math.nan


def delta_beta(pair: Pair) -> Difference:
    """Delta-beta-IPS: mean (w - w') (r - beta) with the beta of least variance, cov(dw r, dw) / var(dw).

    Where the two policies weigh every row alike there is no difference, and no beta.
    """
    n = pair.left.total
    weighted = pair.left.first[WEIGHTED] - pair.right.first[WEIGHTED]
    weight = pair.left.first[WEIGHT] - pair.right.first[WEIGHT]
    aa, uu = _of_differences(pair, WEIGHTED, WEIGHTED), _of_differences(pair, WEIGHT, WEIGHT)
    au = _of_differences(pair, WEIGHTED, WEIGHT)
    spread = uu - weight**2 / n
    if spread <= 0.0:
        return Difference(0.0, 0.0)
    # In terms of r - c, whose beta is that of r less c.
    slope = (au - weighted * weight / n) / spread
    value = (weighted - slope * weight) / n
    squares = aa - 2 * slope * au + slope**2 * uu - n * value**2
    rows = pair.left.rows
    error = math.sqrt(max(squares, 0.0) * rows / (rows - 1)) / n if rows > 1 else math.inf
    return Difference(value, error)


def _of_differences(pair: Pair, i: int, j: int) -> float:
    """Sum of s² (y_i - y'_i) (y_j - y'_j)."""
    own = pair.left.second[i, j] + pair.right.second[i, j]
    return float(own - pair.cross[i, j] - pair.cross[j, i])
