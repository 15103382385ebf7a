"""Candidate against candidate: batches of scored rows become pairs, and pairs a table and a sentence."""

from __future__ import annotations

import math
from collections.abc import Mapping

import duckdb
import pyarrow as pa

from offline_eval.errors import BadCandidate
from offline_eval.estimators import Limits, estimators
from offline_eval.estimators.base import Estimator, interval
from offline_eval.pairs import Difference, Pair, combine_pairs, delta, partial_pair
from offline_eval.results import CandidateResult, Estimate, Value, Versus
from offline_eval.terms import Plan
from offline_eval.verdict import HEADLINES, found_better

_BATCH = "scored_pair"

PairSums = dict[str, Pair]
"""Candidate to the sums of it and of the one that it is held against."""


def check_against(against: str, candidates: list[str]) -> None:
    """Whether there is somebody of that name to be held against.

    Raises:
        BadCandidate: there is not.
    """
    if against and against not in candidates:
        listed = ", ".join(dict.fromkeys(["logged", *candidates]))
        raise BadCandidate(f"--against {against!r} is not known; legal: {listed}")


def add_pairs(
    pairs: PairSums,
    connection: duckdb.DuckDBPyConnection,
    tables: Mapping[str, pa.Table],
    against: str,
    centre: float,
    plan: Plan,
) -> None:
    """Put the scored rows of every candidate beside those of ``against``; nothing to do where it is empty."""
    for name, table in tables.items():
        if against and name != against:
            joined = table
            for column in ("e", "v"):
                joined = joined.append_column(f"{column}_2", tables[against][column])
            connection.register(_BATCH, joined)
            part = partial_pair(connection, _BATCH, centre, plan._replace(heaviest=0))
            connection.unregister(_BATCH)
            pairs[name] = combine_pairs([pairs[name], part]) if name in pairs else part


def versus_all(
    pairs: PairSums, against: str, results: tuple[CandidateResult, ...], level: float, limits: Limits
) -> tuple[Versus, ...]:
    """Every candidate against the one: differences by every estimator that neither side withholds."""
    by_name = {result.candidate: result for result in results}
    return tuple(
        _versus(by_name[name], by_name[against], pair, level, limits) for name, pair in pairs.items()
    )


def _versus(
    left: CandidateResult, right: CandidateResult, pair: Pair, level: float, limits: Limits
) -> Versus:
    both = (*right.estimates, *left.estimates)
    withheld = {one.estimator: one.withheld for one in both if one.withheld}
    found = tuple(
        _difference(one, pair, level, withheld.get(one.name, ""), left) for one in estimators(limits)
    )
    said = {one.estimator: one for one in found if one.difference is not None}
    headline = next((said[name] for name in HEADLINES if name in said), None)
    doubts = dict.fromkeys(check.text for one in (left, right) for check in one.checks if check.level != "ok")
    verdict = found_better(headline, right.candidate, list(doubts), level)
    return Versus(left.candidate, right.candidate, pair.left.rows, found, verdict)


def _difference(
    estimator: Estimator, pair: Pair, level: float, withheld: str, left: CandidateResult
) -> Estimate:
    if withheld:
        return Estimate(estimator.name, None, None, withheld)
    found: Difference = delta(pair, estimator)
    low, high = interval(found.value, found.standard_error, level)
    if not (math.isfinite(low) and math.isfinite(high)):
        return Estimate(estimator.name, None, None, "the difference has no interval")
    own = next((one.value for one in left.estimates if one.estimator == estimator.name), None)
    return Estimate(estimator.name, own, Value(found.value, low, high, found.standard_error))
