"""Rows of several sorted runs as one run, in bounded memory.

A run is sorted by position: what a lane's archiver wrote one after the other, or a file that was merged
before. Rows of one position come in the order of their lanes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from policy_learner.archive.segments import keys_of
from policy_learner.errors import BadArchive

Tables = Iterable[pa.Table]


def merge(runs: Sequence[Tables], rows: int) -> Iterator[pa.Table]:
    """All rows in the order of their positions, ``rows`` at a time, the last time what is left.

    Raises:
        BadArchive: a run is not sorted.
    """
    kept: list[pa.Table] = []
    for piece in _pieces(runs, rows):
        kept.append(piece)
        while (waiting := sum(len(table) for table in kept)) >= rows:
            whole = pa.concat_tables(kept)
            yield whole.slice(0, rows).combine_chunks()
            kept = [whole.slice(rows)] if waiting > rows else []
    if any(len(table) for table in kept):
        yield pa.concat_tables(kept).combine_chunks()


class _Run:
    """One run and what was read of it."""

    def __init__(self, tables: Tables, least_rows: int) -> None:
        self._tables, self._least_rows = iter(tables), least_rows
        self._waiting: list[tuple[pa.Table, npt.NDArray[np.int64]]] = []
        self._rows = 0
        self.last_ms = -1
        self.done = False
        self.load()

    def load(self) -> None:
        """Read on, until some rows wait or there are no more."""
        wanted = self._rows + self._least_rows
        while self._rows < wanted:
            table = next(self._tables, None)
            if table is None:
                self.done = True
                return
            if len(table):
                self._keep(table)

    def take(self, before_ms: int | None) -> list[pa.Table]:
        """What waits of before a millisecond; None: all."""
        taken = []
        while self._waiting:
            table, ms = self._waiting[0]
            cut = len(ms) if before_ms is None else int(np.searchsorted(ms, before_ms))
            if cut:
                taken.append(table.slice(0, cut))
                self._rows -= cut
            if cut < len(ms):
                self._waiting[0] = (table.slice(cut), ms[cut:])
                break
            self._waiting.pop(0)
        return taken

    def _keep(self, table: pa.Table) -> None:
        ms = keys_of(table["position"])[0]
        if ms[0] < self.last_ms or np.any(np.diff(ms) < 0):
            raise BadArchive(f"rows from position {table['position'][0]} on are not in the order of the log")
        self._waiting.append((table, ms))
        self._rows += len(table)
        self.last_ms = int(ms[-1])


def _pieces(runs: Sequence[Tables], rows: int) -> Iterator[pa.Table]:
    """Sorted pieces, one after the other: each as far as all runs have been read."""
    least = max(1, rows // max(1, len(runs)))
    open_runs = [_Run(tables, least) for tables in runs]
    while True:
        bound = min((run.last_ms for run in open_runs if not run.done), default=None)
        parts = [(run.take(bound)) for run in open_runs]
        found = [part for part in parts if part]
        if found:
            yield _sorted(found)
        if bound is None:
            return
        for run in open_runs:
            if not run.done and run.last_ms == bound:
                run.load()


def _sorted(parts: Sequence[Sequence[pa.Table]]) -> pa.Table:
    """One table of rows from several runs, in order; what comes from one run is in order already."""
    table = pa.concat_tables([table for part in parts for table in part])
    if len(parts) == 1:
        return table
    ms, sequence = keys_of(table["position"])
    lanes = table["partition"].to_numpy() if "partition" in table.column_names else np.zeros(len(table))
    return table.combine_chunks().take(pa.array(np.lexsort((lanes, sequence, ms))))
