"""From scored batches to everything that is summed of them: nothing of a batch is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import duckdb
import numpy as np
import pyarrow as pa

from offline_eval.calibration import Calibration
from offline_eval.clusters import Buckets
from offline_eval.estimators import Limits, estimators, plan_of
from offline_eval.groups import GROUPINGS, GroupSums, add, add_buckets, all_together
from offline_eval.histogram import Counts, count_weights
from offline_eval.rejections import ROUNDING
from offline_eval.reward_model import Expecting
from offline_eval.sums import MOST_HEAVIEST, Sums
from offline_eval.terms import Plan
from offline_eval.versus import PairSums, add_pairs

CURVE = Limits(
    clip=(1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0),
    sub_gaussian=(),
    switch=(),
    optimistic=(0.1, 1.0, 10.0, 100.0, 1_000.0, 10_000.0),
)
"""Limits of the curve that shows what an estimate owes to its limit."""


_MOST_UNSCORED = 5


class Asked(NamedTuple):
    """What an engine is to sum."""

    candidates: Sequence[str]
    against: str
    """Candidate that the others are paired with; empty: none."""
    centre: float
    plan: Plan
    pair_plan: Plan


class Found(NamedTuple):
    """What an engine has summed."""

    groups: dict[str, GroupSums]
    """Column of ``groups.GROUPINGS`` to group to candidate to sums."""
    pairs: PairSums
    buckets: dict[str, Buckets]
    """Candidate to sums by bucket of units."""


class Engine(Protocol):
    """Sums scored rows, here or elsewhere."""

    def add(self, tables: Mapping[str, pa.Table]) -> None:
        """Take the scored rows of every candidate, which are the same rows in the same order."""

    def found(self) -> Found:
        """The sums of all that was added."""

    def sql(self) -> str:
        """The scan, for audit."""


class DuckDb:
    """Sums every batch as it comes."""

    def __init__(self, asked: Asked, connection: duckdb.DuckDBPyConnection, sql: str) -> None:
        self._asked = asked
        self._connection = connection
        self._sql = sql
        self._found = Found({column: {} for column in GROUPINGS}, {}, {})

    def add(self, tables: Mapping[str, pa.Table]) -> None:
        """Sum the scored rows of every candidate."""
        asked, found = self._asked, self._found
        for name, table in tables.items():
            add(found.groups, self._connection, name, table, asked.centre, asked.plan)
            add_buckets(found.buckets, self._connection, name, table, asked.centre, asked.plan)
        add_pairs(found.pairs, self._connection, tables, asked.against, asked.centre, asked.pair_plan)

    def found(self) -> Found:
        """The sums of all that was added."""
        return self._found

    def sql(self) -> str:
        """The scan, for audit."""
        return self._sql


class Summing:
    """What is summed of a log by an engine, and the little that is counted on the way to it."""

    def __init__(self, engine: Engine, asked: Asked, model: Expecting) -> None:
        self._engine = engine
        self._asked = asked
        self.model = model
        self.calibration = Calibration(model)
        self.weights: dict[str, Counts] = {name: {} for name in asked.candidates}
        """Candidate to its weights' histogram."""
        self.unscored: dict[str, tuple[str, ...]] = dict.fromkeys(asked.candidates, ())
        """Candidate to the first decisions for which it has no probability that is one."""
        self.found = Found({column: {} for column in GROUPINGS}, {}, {})
        self.sql = ""

    def add(self, tables: Mapping[str, pa.Table]) -> None:
        """Take the scored rows of every candidate."""
        # What the model expects of shown arms is everyone's.
        self.calibration.add(next(iter(tables.values())))
        for name, table in tables.items():
            count_weights(self.weights[name], table)
            self.unscored[name] = (*self.unscored[name], *_unscored(table))[:_MOST_UNSCORED]
        self._engine.add(tables)

    def finish(self) -> None:
        """All rows are in."""
        self.found, self.sql = self._engine.found(), self._engine.sql()

    def whole(self) -> dict[str, Sums]:
        """Candidate to the sums of all rows."""
        asked = self._asked
        return all_together(self.found.groups[GROUPINGS[0]], asked.candidates, asked.centre, asked.plan)


def _unscored(table: pa.Table) -> list[str]:
    e = table["e"].to_numpy()
    wrong = np.flatnonzero(~((e >= 0) & (e <= 1 + ROUNDING)))[:_MOST_UNSCORED]
    found: list[str] = table["decision_id"].take(wrong).to_pylist()
    return found


def asked_of(candidates: Sequence[str], against: str, centre: float, limits: Limits) -> Asked:
    """What is summed for the estimators at these limits and at those of the curve."""
    plan = plan_of((*estimators(limits), *estimators(CURVE)), heaviest=MOST_HEAVIEST)
    return Asked(candidates, against, centre, plan, plan_of(estimators(limits)))
