"""The one scan as an Ibis expression: the same sums from Spark, Spark Connect, or whatever else Ibis speaks.

An optional extra (``pip install sidearm[spark]``): a hundred million rows need no other engine than DuckDB.
Only + - * /, least, CASE, sum, max and count are used, which all engines have, and nothing is divided by
zero, which Spark refuses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from offline_eval.errors import BadSums
from offline_eval.rejections import PROPENSITY_FLOOR, ROUNDING
from offline_eval.sums import Sums
from offline_eval.terms import ONE, Kind, Plan

if TYPE_CHECKING:
    from collections.abc import Callable

_COLUMNS = ("reward", "propensity", "e", "q", "v")
Expression = Any
"""Of Ibis, which has no types that mypy would know without it."""


def partial_ibis(table: Expression, centre: float, plan: Plan | None = None) -> Sums:
    """Scan one scored table with columns reward, propensity, e, q and v, each row counted once.

    Rows that break a rule are left out and counted together. Estimates and intervals of these sums are those
    of ``scan.partial`` to the last digits but one.

    Args:
        table: an Ibis table of any backend.
        centre: any constant near the mean reward.
        plan: what is summed; the largest weights are not.

    Raises:
        BadSums: a column is missing.
    """
    plan = plan or Plan()
    if missing := set(_COLUMNS) - set(table.columns):
        raise BadSums(f"column {min(missing)!r} is missing: score the rows first")
    numbers = {name: table[name].cast("float64") for name in _COLUMNS}
    rows = table.select(**numbers)
    kept = rows.filter(_sound(rows))
    found = kept.aggregate(**_aggregates(kept, centre, plan)).to_pyarrow().to_pylist()[0]
    total = int(table.count().to_pyarrow().as_py())
    return _sums(found, total, centre, plan)


def _sound(rows: Expression) -> Expression:
    """Whether a row counts.

    x - x is 0 for what is finite, and asks for every value: a comparison alone may be answered by a file's
    statistics, which leave NaN out.
    """
    top = 1 + ROUNDING
    found = (
        (rows.propensity >= PROPENSITY_FLOOR) & (rows.propensity <= top) & (rows.e >= 0.0) & (rows.e <= top)
    )
    for name in _COLUMNS:
        found = found & (rows[name] - rows[name] == 0.0)
    return found


def _terms(
    rows: Expression, centre: float, plan: Plan
) -> tuple[list[Expression], list[Expression], Expression]:
    """The terms without their 1, the shrunk weights, and w."""
    w, d, rho = rows.e / rows.propensity, rows.reward - rows.q, rows.reward - centre
    bent = [_bends()[one.kind](w, one.limit) for one in plan.shrunk]
    shrunk = [
        g * rows.reward - centre if one.of == "reward" else g * d
        for one, g in zip(plan.shrunk, bent, strict=True)
    ]
    return [w - 1.0, rho, w * rho, rows.v - centre, w * d, *shrunk], bent, w


def _aggregates(rows: Expression, centre: float, plan: Plan) -> dict[str, Expression]:
    terms, bent, w = _terms(rows, centre, plan)
    y = [None, *terms]
    found = {f"f{place}": one.sum() for place, one in enumerate(terms, 1)}
    found |= {f"p{i}_{j}": (y[i] * y[j]).sum() for i, j in plan.pairs()}
    found |= {f"g{place}": one.sum() for place, one in enumerate(bent)}
    return found | {
        "n": rows.count(), "top": w.max(), "overlapping": (w > 0.0).sum(),
        "least_p": rows.propensity.min(), "most_p": rows.propensity.max(),
    }  # fmt: skip


def _bends() -> dict[Kind, Callable[[Expression, float], Expression]]:
    import ibis

    return {
        "clip": lambda w, limit: ibis.least(w, ibis.literal(limit)),
        "sub_gaussian": lambda w, limit: w / (1.0 - limit + limit * w),
        "switch": lambda w, limit: ibis.ifelse(w <= limit, w, 0.0),
        "optimistic": lambda w, limit: w * limit / (w * w + limit),
    }


def _sums(found: dict[str, Any], total: int, centre: float, plan: Plan) -> Sums:
    def of(name: str) -> float:
        return 0.0 if found[name] is None else float(found[name])

    k, n = len(plan.names), int(of("n"))
    first, second = np.zeros(k), np.full((k, k), np.nan)
    first[ONE] = n
    first[1:] = [of(f"f{place}") for place in range(1, k)]
    for i, j in plan.pairs():
        second[i, j] = second[j, i] = of(f"p{i}_{j}")
    second[ONE, :] = second[:, ONE] = first
    return Sums(
        centre, n, first, second, of("top"), of("top"), int(of("overlapping")),
        propensities=(of("least_p"), of("most_p")) if n else (np.inf, -np.inf), shrunk=plan.shrunk,
        shrunk_weight=tuple([of(f"g{place}") for place in range(len(plan.shrunk))]),
        rejected={"left_out": total - n} if total > n else {},
    )  # fmt: skip
