"""The core: one scan of a scored relation yields a few sums, and every estimate is a function of them.

A scored relation has a row per decision and slot with ``reward`` r, ``propensity`` p, ``e`` (the target
policy's probability of the logged arm), ``q`` (the reward model at the logged arm), ``v`` (its mean under the
target policy), ``support`` (the target's mass on arms that the logger could take, null if unknown) and
``inclusion_probability`` (the row was kept with it, and therefore counts 1/it times).

With w = e/p, and c a constant near the mean reward, a row becomes the vector of *terms*::

    y = (1,  w - 1,  r - c,  w (r - c),  v - c,  w (r - q),  min(w, L) r - c for every clip limit L)

The scan sums y and its products. Subtracting c and 1 beforehand is what keeps the digits: with rewards near
1e8, sums of plain squares would be wrong by orders of magnitude. Sums of parts add up (:func:`combine`), so
that files, processes and machines can share the work.
"""

# ruff: noqa: S608 - SQL is made of our own names, and values go through engine.literal
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import reduce

import duckdb
import numpy as np
import numpy.typing as npt

from offline_eval.errors import BadSums
from offline_eval.rejections import SCORED_RULES, reason_sql

Floats = npt.NDArray[np.float64]

ONE, WEIGHT, REWARD, WEIGHTED, MODEL, RESIDUAL, CLIPPED = range(7)
"""Places of the terms in y; the clip limits' begin at ``CLIPPED``."""

SCORED_COLUMNS = ("reward", "propensity", "e", "q", "v", "support", "inclusion_probability")
"""What a scored relation must have; it may have more."""

_TERM_NAMES = ("one", "u", "rho", "a", "v_c", "b")
DEFAULT_CLIP_LIMITS = (10.0,)


@dataclass(frozen=True, eq=False)
class Sums:
    """What one scan yields. Weights by 1/inclusion_probability, called s, are inside."""

    centre: float
    """c, the constant that was subtracted from rewards."""
    rows: int
    """Rows that count."""
    first: Floats
    """(k,) sums of s·y."""
    second: Floats
    """(k, k) sums of s²·y·yᵀ."""
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
    clip_limits: tuple[float, ...] = DEFAULT_CLIP_LIMITS
    clipped_weight: tuple[float, ...] = (0.0,)
    """Sum of s·min(w, L) for every clip limit L."""
    rejected: dict[str, int] = field(default_factory=dict)
    """Reason to rows left out."""

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


def empty(centre: float = 0.0, clip_limits: tuple[float, ...] = DEFAULT_CLIP_LIMITS) -> Sums:
    """The sums of no rows: the neutral element of :func:`combine`."""
    k = CLIPPED + len(clip_limits)
    none = tuple(0.0 for _ in clip_limits)
    return Sums(centre, 0, np.zeros(k), np.zeros((k, k)), clip_limits=clip_limits, clipped_weight=none)


def partial(
    connection: duckdb.DuckDBPyConnection,
    relation: str,
    centre: float,
    clip_limits: tuple[float, ...] = DEFAULT_CLIP_LIMITS,
) -> Sums:
    """Scan one scored relation.

    Args:
        connection: where ``relation`` can be read.
        relation: what stands after FROM: a view, or ``read_parquet('…')``.
        centre: any constant near the mean reward; it changes only rounding.
        clip_limits: the L of clipped IPS, each > 0.

    Returns:
        Its sums; a row that breaks a rule of ``rejections.SCORED_RULES`` is counted and otherwise ignored.
    """
    row = connection.execute(scan_sql(relation, centre, clip_limits)).fetchall()[0]
    values = iter(row)
    rows = int(next(values))
    k, limits = CLIPPED + len(clip_limits), len(clip_limits)
    first = np.array([_number(next(values)) for _ in range(k)])
    second = np.zeros((k, k))
    for i, j in _pairs(k):
        second[i, j] = second[j, i] = _number(next(values))
    max_weight, max_mass = _number(next(values)), _number(next(values))
    overlapping, without_model = _count(next(values)), _count(next(values))
    support, support_known = _number(next(values)), _number(next(values))
    clipped = tuple(_number(next(values)) for _ in range(limits))
    counts = {rule.reason: _count(next(values)) for rule in SCORED_RULES}
    return Sums(
        centre, rows, first, second, max_weight, max_mass, overlapping, without_model, support, support_known,
        clip_limits, clipped, {reason: count for reason, count in counts.items() if count},
    )  # fmt: skip


def scan_sql(relation: str, centre: float, clip_limits: tuple[float, ...]) -> str:
    """The one scan, as SQL.

    A rejected row gets a null s, and with it null products, which aggregates skip: this costs nothing, where
    a FILTER on every aggregate would double the time.
    """
    c = f"CAST({centre!r} AS DOUBLE)"
    clips = [f"z{place}" for place in range(len(clip_limits))]
    names = [*_TERM_NAMES, *clips]
    s_names = ["s" if name == "one" else f"s * {name}" for name in names]
    clip_terms = "".join(
        f", least(w, {limit!r}) AS w{n}, w{n} * r - {c} AS z{n}" for n, limit in enumerate(clip_limits)
    )
    columns = [
        "count(s)",
        *(f"fsum({name})" for name in s_names),
        *(f"sum({s_names[i]} * {s_names[j]})" for i, j in _pairs(len(names))),
        "max(w)", "max(s * w)", "count_if(w > 0)", "count_if(s IS NOT NULL AND NOT has_model)",
        "sum(s * support)", "sum(CASE WHEN support IS NOT NULL THEN s END)",
        *(f"sum(s * w{n})" for n in range(len(clip_limits))),
        *(f"count_if(reason = {place})" for place in range(1, len(SCORED_RULES) + 1)),
    ]  # fmt: skip
    return f"""
WITH cast_rows AS (
    SELECT {", ".join(f"CAST({name} AS DOUBLE) AS {name}" for name in SCORED_COLUMNS)} FROM {relation}
), judged AS (
    SELECT *, reward AS r, coalesce(isfinite(q) AND isfinite(v), false) AS has_model,
           {reason_sql(SCORED_RULES)} AS reason
    FROM cast_rows
), weighted AS (
    SELECT *, CASE WHEN reason = 0 THEN e / propensity END AS w,
           CASE WHEN reason = 0 THEN 1.0 / inclusion_probability END AS s
    FROM judged
), termed AS (
    SELECT *, w - 1.0 AS u, r - {c} AS rho, w * (r - {c}) AS a,
           CASE WHEN has_model THEN v - {c} ELSE 0.0 END AS v_c,
           CASE WHEN has_model THEN w * (r - q) ELSE 0.0 END AS b{clip_terms}
    FROM weighted
)
SELECT {", ".join(columns)} FROM termed"""


def combine(parts: Sequence[Sums]) -> Sums:
    """The sums of all parts together, in any order, whatever constant each was centred by.

    Raises:
        BadSums: no parts, or parts with different clip limits.
    """
    if not parts:
        raise BadSums("nothing to combine: at least one part is needed")
    if len({part.clip_limits for part in parts}) > 1:
        raise BadSums("parts were clipped at different limits: scan them again with the same ones")
    return reduce(_added, parts)


def recentred(sums: Sums, centre: float) -> Sums:
    """The same rows with another constant subtracted from rewards: a linear map of the terms."""
    if centre == sums.centre:
        return sums
    shift = sums.centre - centre
    change = np.eye(len(sums.first))
    change[REWARD, ONE] = change[MODEL, ONE] = change[WEIGHTED, ONE] = change[WEIGHTED, WEIGHT] = shift
    change[CLIPPED:, ONE] = shift
    return replace(sums, centre=centre, first=change @ sums.first, second=change @ sums.second @ change.T)


def sums_of_rows(
    reward: npt.ArrayLike,
    propensity: npt.ArrayLike,
    e: npt.ArrayLike,
    q: npt.ArrayLike | None = None,
    v: npt.ArrayLike | None = None,
    clip_limits: tuple[float, ...] = DEFAULT_CLIP_LIMITS,
) -> Sums:
    """The sums of rows in memory: for examples, and as a second opinion on the SQL.

    >>> sums_of_rows(reward=[1, 0, 1, 0], propensity=[0.5, 0.5, 0.5, 0.5], e=[0.8, 0.2, 0.8, 0.2]).weight
    4.0
    """
    r, p, target = (np.asarray(x, dtype=np.float64) for x in (reward, propensity, e))
    known = q is not None and v is not None
    w, centre = target / p, float(np.mean(r)) if len(r) else 0.0
    model = np.asarray(v, dtype=np.float64) - centre if known else np.zeros_like(r)
    residual = w * (r - np.asarray(q, dtype=np.float64)) if known else np.zeros_like(r)
    clips = [np.minimum(w, limit) for limit in clip_limits]
    y = np.stack(
        [np.ones_like(r), w - 1, r - centre, w * (r - centre), model, residual]
        + [clip * r - centre for clip in clips]
    )
    top = float(np.max(w, initial=0.0))
    return Sums(
        centre, len(r), y.sum(axis=1), y @ y.T, top, top, int((w > 0).sum()), 0 if known else len(r),
        clip_limits=clip_limits, clipped_weight=tuple(float(clip.sum()) for clip in clips),
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
        left.clip_limits,
        tuple(a + b for a, b in zip(left.clipped_weight, right.clipped_weight, strict=True)),
        {reason: left.rejected.get(reason, 0) + right.rejected.get(reason, 0) for reason in reasons},
    )


def _pairs(k: int) -> list[tuple[int, int]]:
    """The upper triangle of a k by k matrix."""
    return [(i, j) for i in range(k) for j in range(i, k)]


def _number(value: object) -> float:
    """An aggregate over no rows is null: zero here."""
    return 0.0 if value is None else float(value)  # type: ignore[arg-type]


def _count(value: object) -> int:
    return int(_number(value))
