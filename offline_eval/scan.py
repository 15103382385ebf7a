"""The one scan: a scored relation becomes sums, by plain aggregates that any SQL engine can share out.

The scan is plain at first: bad rows are kept out by comparisons that DuckDB answers from the statistics of
whole row groups, every row counts once, and every row has a model. Whether that held is seen in the sums
(:func:`_is_whole`). Only when it did not are the rows scanned with what it then takes, and bad ones
counted by reason. So a sound log is read once and at nearly the speed of its columns.
"""

# ruff: noqa: S608 - SQL is made of our own names, and values go through engine.literal
from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import duckdb
import numpy as np

from offline_eval.rejections import reason_sql, scored_rules
from offline_eval.sums import Sums, empty
from offline_eval.term_sql import Shape, identifier, rows_sql, shape_of
from offline_eval.terms import ONE, Floats, Plan

NEEDED_COLUMNS = ("reward", "propensity", "e")
"""What a scored relation must have."""
SCORED_COLUMNS = (*NEEDED_COLUMNS, "q", "v", "support", "inclusion_probability")
"""What it may have; without inclusion_probability every row counts once."""

Group = tuple[tuple[str, str | None], ...]
"""Column and value of the rows that were summed; ``()`` is all."""


class Whole(NamedTuple):
    """The rows of a group that count."""

    sums: tuple[Sums, ...]
    """For each policy."""
    cross: Floats | None
    """(k, k) sums of s² y y'ᵀ between two policies."""


def partial(
    connection: duckdb.DuckDBPyConnection, relation: str, centre: float, plan: Plan | None = None
) -> Sums:
    """Scan one scored relation.

    Args:
        connection: where ``relation`` can be read.
        relation: what stands after FROM: a view, or ``read_parquet('…')``.
        centre: any constant near the mean reward; it changes only rounding.
        plan: what is summed.

    Returns:
        Its sums; a row that breaks a rule of ``rejections.SCORED_RULES`` is counted and otherwise ignored.
    """
    return partials(connection, relation, centre, plan)[()]


def partials(
    connection: duckdb.DuckDBPyConnection,
    relation: str,
    centre: float,
    plan: Plan | None = None,
    by: Sequence[tuple[str, ...]] = ((),),
) -> dict[Group, Sums]:
    """Scan once, and sum by several groupings at a time.

    Args:
        connection: where ``relation`` can be read.
        relation: what stands after FROM.
        centre: any constant near the mean reward.
        plan: what is summed.
        by: groupings, each some columns of the relation; ``()`` is the whole.

    Returns:
        Group to sums, the groupings in their order and the groups of each by value.
    """
    shape = shape_of(connection, relation, centre, plan or Plan(), by=by)
    return {group: whole.sums[0] for group, whole in scanned(connection, relation, shape).items()}


def scan_sql(relation: str, centre: float, plan: Plan | None = None) -> str:
    """The plain scan of a relation with every column that counts, as SQL: for audit."""
    columns = frozenset((*NEEDED_COLUMNS, "q", "v", "support"))
    return _sql(relation, Shape(columns, centre, plan or Plan(), ("",), ((),)))


def scanned(connection: duckdb.DuckDBPyConnection, relation: str, shape: Shape) -> dict[Group, Whole]:
    """The sums of every group, by as few scans as the rows allow."""
    total = int(connection.execute(f"SELECT count(*) FROM {relation}").fetchall()[0][0])
    found = _run(connection, relation, shape)
    if _is_whole(found, total, shape):
        return found
    found = _run(connection, relation, shape._replace(is_plain=False))
    reasons = _reasons(connection, relation, shape)
    nothing = Whole(tuple(empty(shape.centre, shape.plan.shrunk) for _ in shape.policies), None)
    return {
        group: _with_reasons(found.get(group, nothing), reasons.get(group, {}))
        for group in dict.fromkeys([*found, *reasons])
    }


def _with_reasons(whole: Whole, counts: dict[str, int]) -> Whole:
    return whole._replace(sums=tuple(replace(one, rejected=counts) for one in whole.sums))


def _is_whole(found: dict[Group, Whole], total: int, shape: Shape) -> bool:
    """Whether the plain scan left nothing out and met nothing that a sum cannot hold."""
    grouping = set(shape.by[0])
    counted = sum(
        whole.sums[0].rows for group, whole in found.items() if {column for column, _ in group} == grouping
    )
    return counted == total and all(
        np.isfinite(one.first).all() for whole in found.values() for one in whole.sums
    )


def _run(connection: duckdb.DuckDBPyConnection, relation: str, shape: Shape) -> dict[Group, Whole]:
    found = {}
    for row in connection.execute(_sql(relation, shape)).fetchall():
        values = iter(row)
        group = _group(values, shape)
        found[group] = _read(values, shape)
    return found


def _sql(relation: str, shape: Shape) -> str:
    columns = [*_key_columns(shape), *_aggregates(shape)]
    return (
        f"WITH termed AS ({rows_sql(relation, shape)})\nSELECT {', '.join(columns)}\nFROM termed"
        + _grouping(shape)
    )


def _key_columns(shape: Shape) -> list[str]:
    if not shape.keys:
        return []
    listed = ", ".join(f"k{place}" for place in range(len(shape.keys)))
    return [f"GROUPING({listed})", *(f"CAST(k{place} AS VARCHAR)" for place in range(len(shape.keys)))]


def _grouping(shape: Shape, more: str = "") -> str:
    """GROUP BY and ORDER BY; ``more`` is a further column of every grouping."""
    if not shape.keys:
        return f"\nGROUP BY {more}" if more else ""
    places = {key: f"k{place}" for place, key in enumerate(shape.keys)}
    sets = ", ".join(
        "(" + ", ".join([*(places[key] for key in grouping), *([more] if more else [])]) + ")"
        for grouping in shape.by
    )
    order = ", ".join(f"{place + 1}" for place in range(len(shape.keys) + 1))
    return f"\nGROUP BY GROUPING SETS ({sets})\nORDER BY {order}"


def _group(values: Iterator[object], shape: Shape) -> Group:
    """The key of a row: a column that is summed over has its bit set in GROUPING."""
    if not shape.keys:
        return ()
    bits = int(next(values))  # type: ignore[call-overload]  # GROUPING is whole
    named = [(key, next(values)) for key in shape.keys]
    last = len(shape.keys) - 1
    return tuple(
        (key, None if value is None else str(value))
        for place, (key, value) in enumerate(named)
        if not bits >> (last - place) & 1
    )


def _aggregates(shape: Shape) -> list[str]:
    """What is summed, in the order in which :func:`_read` takes it."""
    columns = ["count(*)"]
    for policy in shape.policies:
        columns += [
            *_firsts(shape, policy),
            *_products(shape, policy, policy, _pairs(shape)),
            *_extras(shape, policy),
        ]
    if len(shape.policies) > 1:
        columns += _products(shape, shape.policies[0], shape.policies[1], _cross(shape))
    return columns


def _pairs(shape: Shape) -> list[tuple[int, int]]:
    """Products with y_0 = 1 are sums themselves where every row counts once."""
    with_one = [] if shape.is_plain else [(ONE, j) for j in range(len(shape.plan.names))]
    return [*with_one, *shape.plan.pairs()]


def _cross(shape: Shape) -> list[tuple[int, int]]:
    k = len(shape.plan.names)
    ones = [] if shape.is_plain else [(ONE, j) for j in range(k)] + [(i, ONE) for i in range(1, k)]
    return [*ones, *shape.plan.cross_pairs()]


def _firsts(shape: Shape, policy: str) -> list[str]:
    sums = [f"sum({shape.term(place, policy)})" for place in range(1, len(shape.plan.names))]
    return sums if shape.is_plain else [*sums, "sum(s)"]


def _products(shape: Shape, left: str, right: str, pairs: list[tuple[int, int]]) -> list[str]:
    return [f"sum({shape.term(i, left)} * {shape.term(j, right)})" for i, j in pairs]


def _extras(shape: Shape, policy: str) -> list[str]:
    s = "" if shape.is_plain else "s * "
    heaviest = f"max(w{policy}, {shape.plan.heaviest})" if shape.plan.heaviest else "NULL"
    ranged = ["min(p)", "max(p)"] if shape.plan.propensity_range else ["NULL", "NULL"]
    known = "count(support)" if shape.is_plain else "sum(CASE WHEN support IS NOT NULL THEN s END)"
    return [
        f"max(w{policy})", f"max({s}w{policy})",
        f"count_if(w{policy} > 0)", f"count_if(NOT has_model{policy})",
        *([f"sum({s}support)", known] if shape.has_support(policy) else ["NULL", "NULL"]),
        *ranged, heaviest,
        *(f"sum({s}g{place}{policy})" for place in range(len(shape.plan.shrunk))),
    ]  # fmt: skip


def _read(values: Iterator[object], shape: Shape) -> Whole:
    """One row of the result."""
    rows = _count(next(values))
    sums = tuple(_read_sums(values, shape, rows) for _ in shape.policies)
    cross = None
    if len(sums) == 2:
        k = len(shape.plan.names)
        cross = np.full((k, k), np.nan)
        for i, j in _cross(shape):
            cross[i, j] = _number(next(values))
        if shape.is_plain:
            cross[ONE, :], cross[:, ONE] = sums[1].first, sums[0].first
    return Whole(sums, cross)


def _read_sums(values: Iterator[object], shape: Shape, rows: int) -> Sums:
    k = len(shape.plan.names)
    first, second = np.zeros(k), np.full((k, k), np.nan)
    first[1:] = [_number(next(values)) for _ in range(k - 1)]
    first[ONE] = rows if shape.is_plain else _number(next(values))
    for i, j in _pairs(shape):
        second[i, j] = second[j, i] = _number(next(values))
    if shape.is_plain:
        second[ONE, :] = second[:, ONE] = first
    max_weight, max_mass = _number(next(values)), _number(next(values))
    overlapping, without = _count(next(values)), _count(next(values))
    support, known = _number(next(values)), _number(next(values))
    low, high, heaviest = next(values), next(values), next(values)
    ranged = (_number(low), _number(high)) if rows else (np.inf, -np.inf)
    shrunk_weight = tuple(_number(next(values)) for _ in shape.plan.shrunk)
    return Sums(
        shape.centre, rows, first, second, max_weight, max_mass, overlapping,
        without if shape.has_model else rows, support, known,
        ranged if shape.plan.propensity_range or not rows else (-np.inf, np.inf),
        shape.plan.shrunk, shrunk_weight,
        heaviest=np.array(heaviest if isinstance(heaviest, list) else [], dtype=np.float64),
    )  # fmt: skip


def _reasons(
    connection: duckdb.DuckDBPyConnection, relation: str, shape: Shape
) -> dict[Group, dict[str, int]]:
    """Rows that break a rule, by group and reason."""
    rules = scored_rules(shape.policies, "inclusion_probability" in shape.columns)
    keys = [f"{identifier(key)} AS k{place}" for place, key in enumerate(shape.keys)]
    judged = ", ".join([*keys, f"{reason_sql(rules)} AS reason"])
    columns = ", ".join([*_key_columns(shape), "reason", "count(*)"])
    rows = connection.execute(
        f"SELECT {columns} FROM (SELECT {judged} FROM {_cast(relation, shape)}) WHERE reason > 0"
        + _grouping(shape, "reason")
    ).fetchall()
    found: dict[Group, dict[str, int]] = {}
    for row in sorted(rows, key=lambda row: int(row[-2])):
        counts = found.setdefault(_group(iter(row), shape), {})
        reason = rules[int(row[-2]) - 1].reason
        counts[reason] = counts.get(reason, 0) + int(row[-1])
    return found


def _cast(relation: str, shape: Shape) -> str:
    numbers = [name for name in shape.numeric if name in shape.columns]
    return f"(SELECT * REPLACE ({', '.join(f'CAST({n} AS DOUBLE) AS {n}' for n in numbers)}) FROM {relation})"


def _number(value: object) -> float:
    """An aggregate over no rows is null: zero here."""
    return 0.0 if value is None else float(value)  # type: ignore[arg-type]  # of a sum


def _count(value: object) -> int:
    return int(_number(value))
