"""The one scan as an Ibis expression: the same sums from Spark, Spark Connect, or whatever else Ibis speaks.

An optional extra (``pip install sidearm[spark]``): a hundred million rows need no other engine than DuckDB.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import ibis
import numpy as np

from offline_eval.clusters import BUCKETS, Buckets
from offline_eval.ibis_terms import REASON, Expression, Scan, judged, termed
from offline_eval.rejections import scored_rules
from offline_eval.scan import Whole
from offline_eval.sums import Sums, empty
from offline_eval.terms import ONE, Floats, Plan

Row = dict[str, Any]
Group = tuple[str, ...]
"""Values of the scan's keys."""


def partial_ibis(table: Expression, centre: float, plan: Plan | None = None) -> Sums:
    """Scan one scored table: estimates and intervals are those of ``scan.partial`` to 1e-9.

    Args:
        table: an Ibis table of any backend, with the columns of ``scan.SCORED_COLUMNS``.
        centre: any constant near the mean reward.
        plan: what is summed.

    Raises:
        BadSums: a column is missing.
    """
    return scanned_ibis(table, Scan(centre, plan or Plan()))[()].sums[0]


def scanned_ibis(table: Expression, scan: Scan, total: int | None = None) -> dict[Group, Whole]:
    """The sums of every group, in their order; under ``()`` those of all rows where the scan has no keys.

    Args:
        table: of any backend.
        scan: what is summed.
        total: rows of the table, where they are known: if all of them count, reasons are not asked for.

    Raises:
        BadSums: a column is missing.
    """
    rows = judged(table, scan)
    terms = termed(rows, scan)
    found = {_group(row, scan): _whole(row, scan) for row in _collected(_summed(terms, scan))}
    nothing = _nothing(scan)
    is_whole = total == sum(whole.sums[0].rows for whole in found.values())
    reasons = {} if is_whole else _reasons(rows, scan)
    groups = sorted({*found, *reasons, *([] if scan.keys else [()])})
    weighed = _heaviest(terms, scan) if scan.plan.heaviest else {}
    return {
        group: _completed(found.get(group, nothing), reasons.get(group, {}), weighed.get(group, {}))
        for group in groups
    }


def buckets_ibis(table: Expression, centre: float, plan: Plan) -> Buckets:
    """Sums of terms by ``unit_bucket``.

    Raises:
        BadSums: a column is missing.
    """
    scan = Scan(centre, plan, keys=("unit_bucket",))
    terms = termed(judged(table, scan), scan)
    sums = terms.group_by(scan.places).aggregate(**_firsts(terms, scan, ""))
    first = np.zeros((BUCKETS, len(plan.names)))
    for row in _collected(sums):
        first[int(row["k0"])] = _vector(row, scan, "")
    return Buckets(centre, first)


def sql_ibis(table: Expression, centre: float, plan: Plan) -> str:
    """The scan as the backend's SQL: for audit."""
    scan = Scan(centre, plan)
    return str(ibis.to_sql(_summed(termed(judged(table, scan), scan), scan)))


def _collected(expression: Expression) -> list[Row]:
    rows: list[Row] = expression.to_pyarrow().to_pylist()
    return rows


def _group(row: Row, scan: Scan) -> Group:
    values = [row[place] for place in scan.places] if scan.keys else []
    return tuple(["" if value is None else str(value) for value in values])


def _summed(terms: Expression, scan: Scan) -> Expression:
    columns = {"n": terms.count(), "low": terms.p.min(), "high": terms.p.max()}
    for policy in scan.policies:
        columns |= (
            _firsts(terms, scan, policy) | _products(terms, scan, policy) | _extras(terms, scan, policy)
        )
    if len(scan.policies) == 2:
        columns |= _cross(terms, scan)
    return terms.group_by(scan.places).aggregate(**columns)


def _firsts(terms: Expression, scan: Scan, policy: str) -> dict[str, Expression]:
    """Sums of s y."""
    places = range(len(scan.plan.names))
    return {f"f{place}{policy}": terms[scan.term(place, policy)].sum() for place in places}


def _pairs(scan: Scan) -> list[tuple[int, int]]:
    """Places whose product is summed: what the plan asks for, and those with y_0."""
    return [*((ONE, place) for place in range(len(scan.plan.names))), *scan.plan.pairs()]


def _products(terms: Expression, scan: Scan, policy: str) -> dict[str, Expression]:
    """Sums of s² y y'."""
    return {
        f"p{i}_{j}{policy}": (terms[scan.term(i, policy)] * terms[scan.term(j, policy)]).sum()
        for i, j in _pairs(scan)
    }


def _cross_pairs(scan: Scan) -> list[tuple[int, int]]:
    k = len(scan.plan.names)
    ones = [(ONE, j) for j in range(k)] + [(i, ONE) for i in range(1, k)]
    return [*ones, *scan.plan.cross_pairs()]


def _cross(terms: Expression, scan: Scan) -> dict[str, Expression]:
    """Sums of s² y y'ᵀ between two policies."""
    left, right = scan.policies
    return {
        f"x{i}_{j}": (terms[scan.term(i, left)] * terms[scan.term(j, right)]).sum()
        for i, j in _cross_pairs(scan)
    }


def _extras(terms: Expression, scan: Scan, policy: str) -> dict[str, Expression]:
    w, support = terms[f"w{policy}"], terms.support
    found = {
        "top": w.max(), "mass": (terms.s * w).max(), "overlapping": (w > 0.0).sum(),
        "known": terms[f"known{policy}"].sum(), "support": (terms.s * support).sum(),
        "support_known": ibis.ifelse(support.isnull(), 0.0, terms.s).sum(),
    }  # fmt: skip
    found |= {f"g{place}": terms[f"g{place}{policy}"].sum() for place in range(len(scan.plan.shrunk))}
    return {f"{name}{policy}": value for name, value in found.items()}


def _reasons(rows: Expression, scan: Scan) -> dict[Group, dict[str, int]]:
    """Rows that break a rule, by group and reason."""
    counted = rows.filter(rows[REASON] > 0).group_by([*scan.places, REASON]).aggregate(n=ibis._.count())
    rules, found = scored_rules(scan.policies), dict[Group, dict[str, int]]()
    for row in sorted(_collected(counted), key=lambda row: int(row[REASON])):
        reasons, reason = found.setdefault(_group(row, scan), {}), rules[row[REASON] - 1].reason
        reasons[reason] = reasons.get(reason, 0) + int(row["n"])
    return found


def _heaviest(terms: Expression, scan: Scan) -> dict[Group, dict[str, Floats]]:
    """Group to policy to its largest weights, falling."""
    found: dict[Group, dict[str, Floats]] = {}
    for policy in scan.policies:
        by_weight = ibis.window(group_by=scan.places, order_by=ibis.desc(f"w{policy}"))
        ranked = terms.select(*scan.places, w=terms[f"w{policy}"], rank=ibis.row_number().over(by_weight))
        top = ranked.filter(ranked["rank"] < scan.plan.heaviest)
        top = top.group_by(scan.places).aggregate(w=ibis._.w.collect())
        for row in _collected(top):
            found.setdefault(_group(row, scan), {})[policy] = np.sort(np.array(row["w"]))[::-1]
    return found


def _completed(whole: Whole, reasons: dict[str, int], heaviest: dict[str, Floats]) -> Whole:
    policies = ("", "_2")[: len(whole.sums)]
    return whole._replace(
        sums=tuple(
            replace(one, rejected=reasons, heaviest=heaviest.get(policy, one.heaviest))
            for one, policy in zip(whole.sums, policies, strict=True)
        )
    )


def _nothing(scan: Scan) -> Whole:
    none = empty(scan.centre, scan.plan.shrunk)
    return Whole((none,) * len(scan.policies), np.zeros_like(none.second) if len(scan.policies) > 1 else None)


def _whole(row: Row, scan: Scan) -> Whole:
    sums = tuple(_sums(row, scan, policy) for policy in scan.policies)
    if len(sums) < 2:
        return Whole(sums, None)
    k = len(scan.plan.names)
    cross = np.full((k, k), np.nan)
    for i, j in _cross_pairs(scan):
        cross[i, j] = _of(row, f"x{i}_{j}")
    return Whole(sums, cross)


def _sums(row: Row, scan: Scan, policy: str) -> Sums:
    k, n = len(scan.plan.names), int(row["n"])
    second = np.full((k, k), np.nan)
    for i, j in _pairs(scan):
        second[i, j] = second[j, i] = _of(row, f"p{i}_{j}{policy}")
    names = ("top", "mass", "overlapping", "known", "support", "support_known")
    top, mass, overlapping, known, support, support_known = (_of(row, f"{one}{policy}") for one in names)
    return Sums(
        scan.centre, n, _vector(row, scan, policy), second, top, mass, int(overlapping), n - int(known),
        support, support_known, (float(row["low"]), float(row["high"])), scan.plan.shrunk,
        tuple([_of(row, f"g{place}{policy}") for place in range(len(scan.plan.shrunk))]),
    )  # fmt: skip


def _vector(row: Row, scan: Scan, policy: str) -> Floats:
    return np.array([_of(row, f"f{place}{policy}") for place in range(len(scan.plan.names))])


def _of(row: Row, name: str) -> float:
    """A sum over nothing but nulls is null: zero here."""
    return 0.0 if row[name] is None else float(row[name])
