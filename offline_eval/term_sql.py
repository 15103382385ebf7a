"""Rows of a scored relation as rows of terms, in SQL."""

# ruff: noqa: S608 - SQL is made of our own names, and values go through engine.literal
from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import duckdb

from offline_eval.rejections import PROPENSITY_FLOOR, ROUNDING
from offline_eval.terms import BASE_NAMES, REWARD, Plan, shrunk_sql

_FINITE = "{0} > '-infinity'::DOUBLE AND {0} < 'infinity'::DOUBLE"


class Shape(NamedTuple):
    """What a scan looks like."""

    columns: frozenset[str]
    """Of the relation."""
    centre: float
    plan: Plan
    policies: tuple[str, ...]
    """Suffixes of e and v: ``""``, and ``"_2"`` for the second of a pair."""
    by: tuple[tuple[str, ...], ...]
    """Groupings."""
    is_plain: bool = True
    """Every row counts once, and every row has a model, or none has."""

    @property
    def keys(self) -> tuple[str, ...]:
        """Columns that some grouping has."""
        return tuple(dict.fromkeys(key for grouping in self.by for key in grouping))

    @property
    def numeric(self) -> tuple[str, ...]:
        """Columns that are numbers, where they are there."""
        each = tuple(f"{name}{policy}" for name in ("e", "v") for policy in self.policies)
        return ("reward", "propensity", *each, "q", "support", "inclusion_probability")

    @property
    def has_model(self) -> bool:
        """Whether q and v are there at all."""
        return {"q", *(f"v{policy}" for policy in self.policies)} <= self.columns

    def has_support(self, policy: str) -> bool:
        """Whether the mass of this policy on arms of the logger is there."""
        return policy == "" and "support" in self.columns

    def term(self, place: int, policy: str) -> str:
        """A term's column, times s where rows do not all count once."""
        name = self.plan.names[place]
        own = "" if place in (0, REWARD) else policy
        if self.is_plain:
            return f"{name}{own}"
        return "s" if place == 0 else f"s * {name}{own}"


def shape_of(
    connection: duckdb.DuckDBPyConnection,
    relation: str,
    centre: float,
    plan: Plan,
    policies: tuple[str, ...] = ("",),
    by: Sequence[tuple[str, ...]] = ((),),
) -> Shape:
    """The shape of a scan of a relation, plain; with a second policy ``"_2"`` it has ``e_2`` and ``v_2``."""
    described = connection.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()
    return Shape(frozenset(row[0] for row in described), centre, plan, policies, tuple(map(tuple, by)))


def rows_sql(relation: str, shape: Shape) -> str:
    """A row of terms for every row that counts; others are not there."""
    keys = [f"{identifier(key)} AS k{place}" for place, key in enumerate(shape.keys)]
    numbers = [f"CAST({name} AS DOUBLE) AS {name}" for name in shape.numeric if name in shape.columns]
    key_names = [f"k{place}" for place in range(len(keys))]
    weighted = [*key_names, *_weighted(shape)]
    termed = [
        *key_names,
        *_carried(shape),
        *(one for policy in shape.policies for one in _terms(shape, policy)),
    ]
    return f"""
    SELECT {", ".join(termed)} FROM (
        SELECT {", ".join(weighted)} FROM (SELECT {", ".join([*keys, *numbers])} FROM {relation})
        WHERE {guard_sql(shape)})"""


def guard_sql(shape: Shape) -> str:
    """What lets a row count.

    In the plain scan these are comparisons, for NaN is above every number and null is never let through. But
    statistics of a Parquet file leave NaN out, and a comparison that they answer lets it pass: then the sums
    are no numbers, and the next scan looks at every row.
    """
    top = 1 + ROUNDING
    conditions = [
        _FINITE.format("reward"), f"propensity >= {PROPENSITY_FLOOR} AND propensity <= {top}",
        *(f"e{policy} >= 0 AND e{policy} <= {top}" for policy in shape.policies),
    ]  # fmt: skip
    if "inclusion_probability" in shape.columns:
        one = "inclusion_probability"
        once = "= 1" if shape.is_plain else f"> 0 AND {one} <= {top}"
        conditions.append(f"isfinite({one}) AND {one} {once}")
    if not shape.is_plain:
        targets = (f"e{policy}" for policy in shape.policies)
        conditions += [f"isfinite({name})" for name in ("reward", "propensity", *targets)]
    elif shape.has_model:
        conditions += [_FINITE.format(name) for name in ("q", *(f"v{policy}" for policy in shape.policies))]
    return " AND ".join(conditions)


def identifier(name: str) -> str:
    """A column's name in SQL, whatever it holds.

    >>> identifier('a"b')
    '"a""b"'
    """
    return '"' + name.replace('"', '""') + '"'


def _weighted(shape: Shape) -> list[str]:
    c = f"CAST({shape.centre!r} AS DOUBLE)"
    q = "q" if shape.has_model else "NULL::DOUBLE"
    columns = ["propensity AS p", "reward AS r", f"reward - {c} AS rho", f"reward - {q} AS d"]
    if not shape.is_plain:
        rate = "inclusion_probability" if "inclusion_probability" in shape.columns else "1.0::DOUBLE"
        columns.append(f"1.0 / {rate} AS s")
    if "support" in shape.columns:
        columns.append("support")
    for policy in shape.policies:
        v = f"v{policy}" if shape.has_model else "NULL::DOUBLE"
        columns += [f"e{policy} / propensity AS w{policy}", f"{v} - {c} AS model{policy}"]
        known = "true" if shape.is_plain else f"coalesce(isfinite({q}) AND isfinite({v}), false)"
        columns.append(f"{known if shape.has_model else 'false'} AS has_model{policy}")
    return columns


def _carried(shape: Shape) -> list[str]:
    named = ["p", "r", "rho", *(["support"] if "support" in shape.columns else [])]
    return named if shape.is_plain else [*named, "s", "1.0 AS one"]


def _terms(shape: Shape, policy: str) -> list[str]:
    """The columns of y that a policy has of its own, with its w."""
    p = policy
    known = shape.is_plain and shape.has_model
    m = f"model{p}" if known else f"CASE WHEN has_model{p} THEN model{p} ELSE 0.0 END"
    d = "d" if known else f"CASE WHEN has_model{p} THEN d ELSE 0.0 END"
    columns = [
        f"w{p}", f"has_model{p}", f"w{p} - 1.0 AS {BASE_NAMES[1]}{p}", f"w{p} * rho AS {BASE_NAMES[3]}{p}",
        f"{m} AS {BASE_NAMES[4]}{p}", f"w{p} * ({d}) AS {BASE_NAMES[5]}{p}",
    ]  # fmt: skip
    c = f"CAST({shape.centre!r} AS DOUBLE)"
    for place, shrunk in enumerate(shape.plan.shrunk):
        weighed = f"g{place}{p} * r - {c}" if shrunk.of == "reward" else f"g{place}{p} * ({d})"
        columns += [f"{shrunk_sql(shrunk, f'w{p}')} AS g{place}{p}", f"{weighed} AS z{place}{p}"]
    return columns
