"""Sums: what one scan yields, and how those of parts become those of the whole.

Every estimate is a function of them (``offline_eval.estimators``), and so is every interval. Sums of parts
add up (:func:`combine`), so that files, processes and machines can share the work. ``offline_eval.scan``
makes them by SQL; :func:`sums_of_rows` from rows in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import reduce

import numpy as np
import numpy.typing as npt

from offline_eval.errors import BadSums
from offline_eval.terms import (
    BENDS,
    DEFAULT_SHRUNK,
    MODEL,
    ONE,
    REWARD,
    SHRUNK,
    WEIGHT,
    WEIGHTED,
    Floats,
    Shrunk,
    terms_of_rows,
)

_NONE = (float("inf"), float("-inf"))
MOST_HEAVIEST = 1_000
"""Weights that are kept of the whole, however many parts it has."""


@dataclass(frozen=True, eq=False)
class Sums:
    """What one scan yields. Weights by 1/inclusion_probability, called s, are inside."""

    centre: float
    """c, the constant that was subtracted from rewards."""
    rows: int
    """Rows that count."""
    first: Floats
    """(k,) sums of s·y (``offline_eval.terms``)."""
    second: Floats
    """(k, k) sums of s²·y·yᵀ; NaN where no estimator asked for it."""
    max_weight: float = 0.0
    """Largest w."""
    max_mass: float = 0.0
    """Largest s·w."""
    overlapping: int = 0
    """Rows with w > 0."""
    without_model: int = 0
    """Rows without q or v."""
    support: float = 0.0
    """Sum of s·support where support is known."""
    support_known: float = 0.0
    """Sum of s where support is known."""
    propensities: tuple[float, float] = _NONE
    """Smallest and largest p; (-inf, inf) where the scan did not look."""
    shrunk: tuple[Shrunk, ...] = DEFAULT_SHRUNK
    shrunk_weight: tuple[float, ...] = (0.0,)
    """Sum of s·g for every shrunk weight g."""
    rejected: dict[str, int] = field(default_factory=dict)
    """Reason to rows left out."""
    heaviest: Floats = field(default_factory=lambda: np.zeros(0))
    """Largest weights, falling, as many as the scan was asked for."""

    @property
    def total(self) -> float:
        """Sum of s: the decisions that the rows stand for."""
        return float(self.first[ONE])

    @property
    def means(self) -> Floats:
        """(k,) mean terms; NaN without rows."""
        return self.first / self.total if self.rows else np.full(len(self.first), np.nan)

    @property
    def weight(self) -> float:
        """Sum of s·w."""
        return float(self.first[ONE] + self.first[WEIGHT])

    @property
    def squared_weight(self) -> float:
        """Sum of s²·w²."""
        s = self.second
        return float(s[WEIGHT, WEIGHT] + 2 * s[ONE, WEIGHT] + s[ONE, ONE])

    def unit(self, *terms: int) -> Floats:
        """(k,) vector with ones at ``terms``."""
        vector = np.zeros(len(self.first))
        vector[list(terms)] = 1.0
        return vector

    def place(self, shrunk: Shrunk) -> int:
        """Where a shrunk term stands in y.

        Raises:
            BadSums: the scan did not sum it.
        """
        try:
            return SHRUNK + self.shrunk.index(shrunk)
        except ValueError:
            raise BadSums(f"{shrunk.kind} at {shrunk.limit:g} was not summed: scan again with it") from None


def empty(centre: float = 0.0, shrunk: tuple[Shrunk, ...] = DEFAULT_SHRUNK) -> Sums:
    """The sums of no rows: the neutral element of :func:`combine`."""
    k = SHRUNK + len(shrunk)
    none = tuple(0.0 for _ in shrunk)
    return Sums(centre, 0, np.zeros(k), np.zeros((k, k)), shrunk=shrunk, shrunk_weight=none)


def combine(parts: Sequence[Sums]) -> Sums:
    """The sums of all parts together, in any order, whatever constant each was centred by.

    Raises:
        BadSums: no parts, or parts with different shrunk terms.
    """
    if not parts:
        raise BadSums("nothing to combine: at least one part is needed")
    if len({part.shrunk for part in parts}) > 1:
        raise BadSums("parts were clipped or shrunk at different limits: scan them again with the same ones")
    return reduce(_added, parts)


def recentred(sums: Sums, centre: float) -> Sums:
    """The same rows with another constant subtracted from rewards: a linear map of the terms."""
    if centre == sums.centre:
        return sums
    change = recentring(sums, centre)
    second = moved(change, sums.second, change)
    return replace(sums, centre=centre, first=change @ sums.first, second=second)


def recentring(sums: Sums, centre: float) -> Floats:
    """(k, k) map of the terms centred as they are to those centred by ``centre``."""
    shift = sums.centre - centre
    change = np.eye(len(sums.first))
    change[REWARD, ONE] = change[MODEL, ONE] = change[WEIGHTED, ONE] = change[WEIGHTED, WEIGHT] = shift
    for shrunk in sums.shrunk:
        if shrunk.of == "reward":
            change[sums.place(shrunk), ONE] = shift
    return change


def moved(left: Floats, products: Floats, right: Floats) -> Floats:
    """(k, k) products of mapped terms. What was not summed stays unknown, and nothing known depends on it."""
    unknown = np.isnan(products)
    answer: Floats = left @ np.where(unknown, 0.0, products) @ right.T
    answer[unknown] = np.nan
    return answer


def sums_of_rows(
    reward: npt.ArrayLike,
    propensity: npt.ArrayLike,
    e: npt.ArrayLike,
    q: npt.ArrayLike | None = None,
    v: npt.ArrayLike | None = None,
    shrunk: tuple[Shrunk, ...] = DEFAULT_SHRUNK,
) -> Sums:
    """The sums of rows in memory: for examples, and as a second opinion on the SQL.

    >>> sums_of_rows(reward=[1, 0, 1, 0], propensity=[0.5, 0.5, 0.5, 0.5], e=[0.8, 0.2, 0.8, 0.2]).weight
    4.0
    """
    r, p, target = (np.asarray(x, dtype=np.float64) for x in (reward, propensity, e))
    model = [None if x is None else np.asarray(x, dtype=np.float64) for x in (q, v)]
    w, centre = target / p, float(np.mean(r)) if len(r) else 0.0
    y = terms_of_rows(r, w, model[0], model[1], centre, shrunk)
    weights = [BENDS[one.kind].numpy(w, one.limit).sum() for one in shrunk]
    top, without = float(np.max(w, initial=0.0)), len(r) if q is None or v is None else 0
    return Sums(
        centre, len(r), y.sum(axis=1), y @ y.T, top, top, int((w > 0).sum()), without,
        propensities=(float(np.min(p, initial=np.inf)), float(np.max(p, initial=-np.inf))),
        shrunk=shrunk, shrunk_weight=tuple(map(float, weights)),
    )  # fmt: skip


def _added(left: Sums, right: Sums) -> Sums:
    # The side with more rows keeps its constant: it is nearer to the common mean.
    centre = left.centre if left.rows >= right.rows else right.centre
    left, right = recentred(left, centre), recentred(right, centre)
    reasons = [*left.rejected, *(reason for reason in right.rejected if reason not in left.rejected)]
    return Sums(
        centre,
        left.rows + right.rows,
        left.first + right.first,
        left.second + right.second,
        max(left.max_weight, right.max_weight),
        max(left.max_mass, right.max_mass),
        left.overlapping + right.overlapping,
        left.without_model + right.without_model,
        left.support + right.support,
        left.support_known + right.support_known,
        (
            min(left.propensities[0], right.propensities[0]),
            max(left.propensities[1], right.propensities[1]),
        ),
        left.shrunk,
        tuple(a + b for a, b in zip(left.shrunk_weight, right.shrunk_weight, strict=True)),
        {reason: left.rejected.get(reason, 0) + right.rejected.get(reason, 0) for reason in reasons},
        _heaviest(left.heaviest, right.heaviest),
    )


def _heaviest(left: Floats, right: Floats) -> Floats:
    """The largest of both, as many as the longer one has: a shorter one had no more rows."""
    together: Floats = np.sort(np.concatenate([left, right]))[::-1]
    return together[: max(len(left), len(right), MOST_HEAVIEST)]
