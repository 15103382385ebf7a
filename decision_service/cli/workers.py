"""Joiners and archivers beside the learner, as a table for ``sidearm status``."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from decision_service.cli.look import SILENT_AFTER_MS, Look

if TYPE_CHECKING:
    from rich.table import Table


def workers_table(seen: Look) -> Table:
    """One line each: what it has, what it has done, and whether it is still heard of."""
    from rich.table import Table

    table = Table("process", "pid", "partitions", "done", "waiting", "state", box=None, pad_edge=False)
    for name, at_ms, one in seen.workers:
        silent_ms = seen.now_ms - at_ms
        silent = f"silent for {silent_ms / 1000:.0f} s" if silent_ms > SILENT_AFTER_MS else ""
        waiting = f"{one.waiting:,} rows, {one.lag_ms / 1000:.0f} s" if one.kind == "archiver" else "–"
        state = silent or one.error or "running"
        table.add_row(name, str(one.pid), ranges(one.partitions) or "–", f"{one.done:,}", waiting, state)
    return table


def ranges(numbers: Sequence[int]) -> str:
    """Numbers in few words.

    >>> ranges([0, 1, 2, 5, 7, 8])
    '0–2 5 7–8'
    """
    runs = [
        [n for _, n in run] for _, run in groupby(enumerate(sorted(numbers)), lambda pair: pair[1] - pair[0])
    ]
    return " ".join(str(run[0]) if len(run) == 1 else f"{run[0]}–{run[-1]}" for run in runs)
