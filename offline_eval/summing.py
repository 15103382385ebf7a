"""From scored batches to everything that is summed of them: nothing of a batch is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import duckdb
import pyarrow as pa

from offline_eval.calibration import Calibration
from offline_eval.clusters import Buckets
from offline_eval.estimators import Limits, estimators, plan_of
from offline_eval.groups import GROUPINGS, GroupSums, add, add_buckets, all_together
from offline_eval.histogram import Counts, count_weights
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


class Summing:
    """Sums of a log that grow batch by batch."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        candidates: Sequence[str],
        against: str,
        centre: float,
        limits: Limits,
        model: Expecting,
    ) -> None:
        self._connection = connection
        self._candidates = candidates
        self._against = against
        self._centre = centre
        self._pair_plan = plan_of(estimators(limits))
        self.plan = plan_with_curve(limits)
        self.groups: dict[str, GroupSums] = {column: {} for column in GROUPINGS}
        """Column of ``groups.GROUPINGS`` to group to candidate to sums."""
        self.pairs: PairSums = {}
        self.buckets: dict[str, Buckets] = {}
        """Candidate to sums by bucket of units."""
        self.weights: dict[str, Counts] = {name: {} for name in candidates}
        """Candidate to its weights' histogram."""
        self.model = model
        self.calibration = Calibration(model)

    def add(self, tables: Mapping[str, pa.Table]) -> None:
        """Sum the scored rows of every candidate."""
        self.calibration.add(
            next(iter(tables.values()))
        )  # what the model expects of shown arms is everyone's
        for name, table in tables.items():
            add(self.groups, self._connection, name, table, self._centre, self.plan)
            add_buckets(self.buckets, self._connection, name, table, self._centre, self.plan)
            count_weights(self.weights[name], table)
        add_pairs(self.pairs, self._connection, tables, self._against, self._centre, self._pair_plan)

    def whole(self) -> dict[str, Sums]:
        """Candidate to the sums of all rows."""
        return all_together(self.groups[GROUPINGS[0]], self._candidates, self._centre, self.plan)


def plan_with_curve(limits: Limits) -> Plan:
    """What is summed for the estimators at these limits and at those of the curve."""
    return plan_of((*estimators(limits), *estimators(CURVE)), heaviest=MOST_HEAVIEST)
