"""The same estimates group by group, such as segment by segment: rows are scored once, and summed apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from offline_eval.errors import BadCandidate
from offline_eval.sums import Sums, combine, empty, partial

GROUP = "group_key"
"""Column of a scored table: what a row is grouped by."""
MOST_GROUPS = 200
"""More are no groups to read, but rows under another name."""
_BATCH = "scored_batch"

GroupSums = dict[str, dict[str, Sums]]
"""Group to candidate to sums."""


def add(
    groups: GroupSums,
    connection: duckdb.DuckDBPyConnection,
    candidate: str,
    table: pa.Table,
    centre: float,
    clip_limits: tuple[float, ...],
) -> None:
    """Put a candidate's scored rows into their groups.

    Raises:
        BadCandidate: there are too many groups.
    """
    for group, part in _split(table):
        connection.register(_BATCH, part)
        sums = partial(connection, _BATCH, centre, clip_limits)
        connection.unregister(_BATCH)
        known = groups.setdefault(group, {})
        known[candidate] = combine([known[candidate], sums]) if candidate in known else sums
    if len(groups) > MOST_GROUPS:
        raise BadCandidate(f"--by makes more than {MOST_GROUPS} groups: group by something coarser")


def all_together(
    groups: GroupSums, candidates: Sequence[str], centre: float, clip_limits: tuple[float, ...]
) -> dict[str, Sums]:
    """Candidate to the sums of all rows; sums add up, so that no row is read again."""
    none = empty(centre, clip_limits)
    return {
        name: combine([none, *(group[name] for group in groups.values() if name in group)])
        for name in candidates
    }


def _split(table: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    keys = table[GROUP]
    values = pc.unique(keys).to_pylist()
    for value in values:
        yield value, table if len(values) == 1 else table.filter(pc.equal(keys, value))
