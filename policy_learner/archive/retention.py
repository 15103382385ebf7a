"""Retention: whole days of the log are deleted when they are old, in one step for every reader.

Decisions, lessons, late rewards and dead letters go; the version log stays: it holds nobody's data, and
numbers a version for ever. The manifest remembers how many rows went and up to where, so that the books of
the log can be balanced and nobody takes a model for rebuilt that was trained on less.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, date, datetime
from pathlib import Path

import msgspec

from policy_learner.archive import chain
from policy_learner.archive.chain import dataset_folder
from policy_learner.archive.compaction import rows_of
from policy_learner.archive.generation import commit
from policy_learner.archive.rows import SCHEMAS
from policy_learner.archive.segments import View, view
from policy_learner.join.positions import START
from sidecar.contracts.log_files import order

KEPT_FOR_EVER = ("versions",)
_ATTEMPTS = 3

Dropped = tuple[str, str, int]
"""Dataset, day, rows."""


def drop_before(log: Path, app: str, cutoff: date | None, now_ms: int, do: bool = True) -> list[Dropped]:
    """Delete the days before ``cutoff``; what was deleted.

    The files themselves go a grace later (``generation.clean``).

    Args:
        log: root of the application's datasets.
        app: its name.
        cutoff: the first day that stays; None: all do.
        now_ms: by the clock of whoever calls.
        do: False: only say what would be deleted.
    """
    if cutoff is None:
        return []
    dropped = []
    for dataset in (name for name in SCHEMAS if name not in KEPT_FOR_EVER):
        folder = dataset_folder(log, dataset, app)
        found = _drop(folder, cutoff, now_ms) if do else days_before(view(folder), cutoff)
        dropped += [(dataset, day, rows) for day, rows in sorted(found.items())]
    return dropped


def days_before(seen: View, cutoff: date) -> Counter[str]:
    """Days of a dataset before ``cutoff``, with their rows."""
    days: Counter[str] = Counter()
    for file in seen.manifest.files:
        days[file.day] += file.rows
    for path in _live(seen):
        days[path.parent.name.removeprefix("dt=")] += rows_of(path)
    return Counter({day: rows for day, rows in days.items() if day < cutoff.isoformat()})


def _drop(folder: Path, cutoff: date, now_ms: int) -> Counter[str]:
    for _ in range(_ATTEMPTS):
        seen = view(folder)
        days = days_before(seen, cutoff)
        if not days or _commit(folder, seen, days, cutoff, now_ms):
            return days
    return Counter()


def _commit(folder: Path, seen: View, days: Counter[str], cutoff: date, now_ms: int) -> bool:
    old = seen.manifest
    covers, beside = dict(old.covers), dict(old.beside)
    for lane, paths in seen.lanes.items():
        gone = [path for path in paths if path.parent.name.removeprefix("dt=") in days]
        if gone:
            covers[str(lane)] = chain.span(gone[-1]).last
            beside |= chain.told_beside(old, {lane: gone})
    until = f"{round(datetime(cutoff.year, cutoff.month, cutoff.day, tzinfo=UTC).timestamp() * 1000)}-0"
    dropped = {lane: max(old.dropped.get(lane, START), until, key=order) for lane in covers}
    manifest = msgspec.structs.replace(
        old,
        generation=old.generation + 1,
        made_at_ms=now_ms,
        reason=f"deleted what is older than {cutoff.isoformat()}",
        covers=covers,
        beside=beside,
        files=tuple(file for file in old.files if file.day not in days),
        removed={**old.removed, "retention": old.removed.get("retention", 0) + days.total()},
        dropped=dropped,
    )
    return commit(folder, manifest)


def _live(seen: View) -> Iterable[Path]:
    return (path for paths in seen.lanes.values() for path in paths)
