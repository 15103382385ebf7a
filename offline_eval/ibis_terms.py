"""Rows of a scored table as rows of terms, as Ibis expressions: what ``term_sql`` says in SQL.

Only what all engines have is used (+ - * /, least, CASE, comparisons), and nothing is divided by zero, which
Spark refuses.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import ibis

from offline_eval.errors import BadSums
from offline_eval.rejections import PROPENSITY_FLOOR, ROUNDING, scored_rules
from offline_eval.terms import ONE, REWARD, Kind, Plan

Expression = Any
"""Of Ibis, which has no types that mypy would know without it."""

REASON = "reason"
"""Column: place (from 1) of the rule that a row breaks, 0 if it breaks none."""


class Scan(NamedTuple):
    """What a scan looks like."""

    centre: float
    plan: Plan
    policies: tuple[str, ...] = ("",)
    """Suffixes of e and v: ``""``, and ``"_2"`` for the second of a pair."""
    keys: tuple[str, ...] = ()
    """Columns that rows are grouped by, all together."""

    @property
    def places(self) -> list[str]:
        """The keys' columns of :func:`termed`; without keys one that is the same for all."""
        return [f"k{place}" for place, _ in enumerate(self.keys)] or ["k"]

    def term(self, place: int, policy: str) -> str:
        """The column of a term, already weighed by s."""
        return f"y{place}{'' if place in (ONE, REWARD) else policy}"


def judged(table: Expression, scan: Scan) -> Expression:
    """The columns that count as numbers, and by which rule a row is left out.

    Raises:
        BadSums: a column is missing.
    """
    needed = ("reward", "propensity", *(f"e{policy}" for policy in scan.policies))
    if missing := [name for name in needed if name not in table.columns]:
        raise BadSums(f"column {missing[0]!r} is missing: score the rows first")
    models = ("q", "support", *(f"v{policy}" for policy in scan.policies))
    numbers = {name: _number(table, name) for name in (*needed, *models)}
    numbers["inclusion_probability"] = _number(table, "inclusion_probability", 1.0)
    keys = [table[key] for key in scan.keys] or [ibis.literal("")]
    rows = table.select(**dict(zip(scan.places, keys, strict=True)), **numbers)
    return rows.mutate(**{REASON: _reason(rows, scan.policies)})


def termed(rows: Expression, scan: Scan) -> Expression:
    """Of judged rows those that count, as terms times s, with what else is summed of them."""
    kept = rows.filter(rows[REASON] == 0)
    shared = {place: kept[place] for place in scan.places} | {
        "s": 1.0 / kept.inclusion_probability,
        "p": kept.propensity,
    }
    shared |= {"r": kept.reward, "q": kept.q, "support": kept.support}
    own = {
        f"{name}{policy}": value
        for policy in scan.policies
        for name, value in (("w", kept[f"e{policy}"] / kept.propensity), ("v", kept[f"v{policy}"]))
    }
    kept = kept.select(**shared, **own)
    columns = {"y0": kept.s, "y2": kept.s * (kept.r - scan.centre)}
    for policy in scan.policies:
        columns |= _own_terms(kept, scan, policy)
    return kept.mutate(**columns)


def _own_terms(rows: Expression, scan: Scan, policy: str) -> dict[str, Expression]:
    """The columns of y that a policy has of its own, its shrunk weights, and whether there is a model."""
    w, s, c = rows[f"w{policy}"], rows.s, scan.centre
    known = (_is_finite(rows.q) & _is_finite(rows[f"v{policy}"])).fill_null(False)
    model = ibis.ifelse(known, rows[f"v{policy}"] - c, 0.0)
    d = ibis.ifelse(known, rows.r - rows.q, 0.0)
    found = {"y1": w - 1.0, "y3": w * (rows.r - c), "y4": model, "y5": w * d}
    bent = [_BENDS[one.kind](w, one.limit) for one in scan.plan.shrunk]
    for place, (one, g) in enumerate(zip(scan.plan.shrunk, bent, strict=True)):
        found[f"y{6 + place}"] = g * rows.r - c if one.of == "reward" else g * d
    named = {f"{name}{policy}": s * value for name, value in found.items()}
    return (
        named
        | {f"g{place}{policy}": s * g for place, g in enumerate(bent)}
        | {f"known{policy}": ibis.ifelse(known, 1, 0)}
    )


def _reason(rows: Expression, policies: tuple[str, ...]) -> Expression:
    """The rules of ``rejections.scored_rules``, in their order."""
    reward, p, kept = rows.reward, rows.propensity, rows.inclusion_probability
    top = 1 + ROUNDING
    conditions = [
        reward.isnull(), ~_is_finite(reward),
        p.isnull(), p.isnan(), p <= 0.0, p > top, p < PROPENSITY_FLOOR,
        ~(_is_finite(kept) & (kept > 0.0) & (kept <= top)).fill_null(False),
    ]  # fmt: skip
    for policy in policies:
        e = rows[f"e{policy}"]
        conditions += [e.isnull() | ~_is_finite(e), ~((e >= 0.0) & (e <= top))]
    rules = scored_rules(policies)
    places = [place for place, _ in enumerate(rules, 1)]
    return ibis.cases(*zip(conditions, places, strict=True), else_=0)


def _number(table: Expression, name: str, otherwise: float | None = None) -> Expression:
    if name in table.columns:
        return table[name].cast("float64")
    return ibis.null("float64") if otherwise is None else ibis.literal(otherwise, "float64")


def _is_finite(value: Expression) -> Expression:
    """By x - x, which asks for every value: a comparison may be answered by a file's statistics."""
    return value - value == 0.0


def _sub_gaussian(w: Expression, limit: float) -> Expression:
    below = (1.0 - limit) + limit * w
    return ibis.ifelse(below == 0.0, float("nan"), w / below)


_BENDS: dict[Kind, Callable[[Expression, float], Expression]] = {
    "clip": lambda w, limit: ibis.least(w, ibis.literal(limit)),
    "sub_gaussian": _sub_gaussian,
    "switch": lambda w, limit: ibis.ifelse(w <= limit, w, 0.0),
    "optimistic": lambda w, limit: w * limit / (w * w + limit),
}
