"""Sums by Spark: scored rows become Parquet files in a folder that it reads, and one Ibis expression.

What a log holds is judged, and what candidates would have done is scored, by the code that always does it, on
this machine; the cluster sums. One file of a batch has the rows of all candidates: what they share once, and
``e``, ``v`` and ``support`` with a candidate's place behind them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from offline_eval.errors import BadSums
from offline_eval.groups import GROUP, GROUPINGS, GroupSums, check_groups
from offline_eval.ibis_scan import buckets_ibis, scanned_ibis, sql_ibis
from offline_eval.ibis_terms import Expression, Scan
from offline_eval.pairs import Pair
from offline_eval.summing import Asked, Found
from offline_eval.sums import combine
from offline_eval.versus import PairSums

_SHARED = ("reward", "propensity", "inclusion_probability", "unit_bucket", "q", *GROUPINGS)
_OWN = ("e", "v", "support")


class IbisEngine:
    """Writes every batch, and sums when all are there.

    Args:
        asked: what is summed.
        backend: an Ibis backend that reads Parquet files.
        folder: empty; of Parquet files, for both this process and the backend.
    """

    def __init__(self, asked: Asked, backend: Any, folder: Path) -> None:  # noqa: ANN401 - without the extra Ibis has no types
        self._asked = asked
        self._backend = backend
        self._folder = folder
        self._files = self._rows = 0
        self._sql = ""

    def add(self, tables: Mapping[str, pa.Table]) -> None:
        """Write the scored rows of every candidate."""
        wide = tables[self._asked.candidates[0]].select(_SHARED)
        for place, name in enumerate(self._asked.candidates):
            for column in _OWN:
                wide = wide.append_column(f"{column}_{place}", tables[name][column])
        pq.write_table(wide, self._folder / f"part-{self._files:06d}.parquet", compression="snappy")
        self._files += 1
        self._rows += len(wide)

    def found(self) -> Found:
        """The sums of all that was added."""
        if not self._files:
            return Found({column: {} for column in GROUPINGS}, {}, {})
        table = self._backend.read_parquet(str(self._folder.absolute()))
        asked = self._asked
        views = {name: _view(table, place) for place, name in enumerate(asked.candidates)}
        self._sql = sql_ibis(next(iter(views.values())), asked.centre, asked.plan)
        buckets = {name: buckets_ibis(view, asked.centre, asked.plan) for name, view in views.items()}
        found = Found({column: {} for column in GROUPINGS}, _pairs(table, asked, self._rows), buckets)
        for name, view in views.items():
            self._add(found.groups, name, view)
        check_groups(found.groups[GROUP])
        return found

    def _add(self, groups: Mapping[str, GroupSums], name: str, view: Expression) -> None:
        """Sums by all groupings together add up to those by each."""
        scan = Scan(self._asked.centre, self._asked.plan, keys=GROUPINGS)
        for values, whole in scanned_ibis(view, scan, self._rows).items():
            for column, group in zip(GROUPINGS, values, strict=True):
                known = groups[column].setdefault(group, {})
                known[name] = combine([known[name], *whole.sums]) if name in known else whole.sums[0]

    def sql(self) -> str:
        """The scan of the first candidate, as the backend was told it."""
        return self._sql


def _view(table: Expression, place: int, other: int | None = None) -> Expression:
    """The scored table of one candidate; with a second one, its ``e_2`` and ``v_2`` too."""
    own = {column: table[f"{column}_{place}"] for column in _OWN}
    if other is not None:
        own |= {f"{column}_2": table[f"{column}_{other}"] for column in ("e", "v")}
    return table.select(*_SHARED, **own)


def _pairs(table: Expression, asked: Asked, total: int) -> PairSums:
    """Every candidate beside the one that it is held against."""
    if not asked.against:
        return {}
    plan, other = asked.pair_plan._replace(heaviest=0), list(asked.candidates).index(asked.against)
    scan = Scan(asked.centre, plan, policies=("", "_2"))
    return {
        name: _pair(_view(table, place, other), scan, total)
        for place, name in enumerate(asked.candidates)
        if place != other
    }


def _pair(table: Expression, scan: Scan, total: int) -> Pair:
    (left, right), cross = scanned_ibis(table, scan, total)[()]
    if cross is None:
        raise BadSums("a pair needs two policies")
    return Pair(left, right, cross)
