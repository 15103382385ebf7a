"""The same estimates group by group, such as segment by segment: rows are scored once, and summed apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import duckdb
import pyarrow as pa

from offline_eval.clusters import Buckets, bucket_sums, combine_buckets
from offline_eval.errors import BadCandidate
from offline_eval.scan import partials
from offline_eval.sums import Sums, combine, empty
from offline_eval.terms import Plan

GROUP = "group_key"
"""Column of a scored table: what a row is grouped by."""
MOST_GROUPS = 200
"""More are no groups to read, but rows under another name."""
_BATCH = "scored_batch"

DAY, SEGMENT = "day_key", "segment_key"
GROUPINGS = (GROUP, DAY, SEGMENT)
"""Columns by which rows are summed apart, all in one scan."""

GroupSums = dict[str, dict[str, Sums]]
"""Group to candidate to sums."""


def add(
    groups: Mapping[str, GroupSums],
    connection: duckdb.DuckDBPyConnection,
    candidate: str,
    table: pa.Table,
    centre: float,
    plan: Plan,
) -> None:
    """Put a candidate's scored rows into their groups, once for every one of ``GROUPINGS``.

    Raises:
        BadCandidate: there are too many groups.
    """
    connection.register(_BATCH, table)
    found = partials(connection, _BATCH, centre, plan, tuple((one,) for one in GROUPINGS))
    connection.unregister(_BATCH)
    for ((column, group),), sums in found.items():
        known = groups[column].setdefault(group or "", {})
        known[candidate] = combine([known[candidate], sums]) if candidate in known else sums
    check_groups(groups[GROUP])


def check_groups(groups: GroupSums) -> None:
    """Whether they are few enough to read.

    Raises:
        BadCandidate: they are not.
    """
    if len(groups) > MOST_GROUPS:
        raise BadCandidate(f"--by makes more than {MOST_GROUPS} groups: group by something coarser")


def add_buckets(
    buckets: dict[str, Buckets],
    connection: duckdb.DuckDBPyConnection,
    candidate: str,
    table: pa.Table,
    centre: float,
    plan: Plan,
) -> None:
    """Put a candidate's scored rows into the buckets of their units."""
    connection.register(_BATCH, table)
    found = bucket_sums(connection, _BATCH, centre, plan)
    connection.unregister(_BATCH)
    buckets[candidate] = combine_buckets([buckets[candidate], found]) if candidate in buckets else found


def all_together(groups: GroupSums, candidates: Sequence[str], centre: float, plan: Plan) -> dict[str, Sums]:
    """Candidate to the sums of all rows; sums add up, so that no row is read again."""
    none = empty(centre, plan.shrunk)
    return {
        name: combine([none, *(group[name] for group in groups.values() if name in group)])
        for name in candidates
    }
