"""Privacy requests: what the log holds of one unit is deleted.

Every file that holds a row of the unit is written again without it, in one step for every reader; the
archiver's own files of the unit's time are compacted on the way. The manifest keeps the unit's digest, so
that a decision which was still pending goes when its day is compacted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from policy_learner.archive import compaction
from policy_learner.archive.chain import dataset_folder
from policy_learner.archive.compaction import (
    Progress,
    Removal,
    Shape,
    compact_day,
    forgotten,
    open_days,
    run_of,
    swap,
)
from policy_learner.archive.generation import commit
from policy_learner.archive.segments import View, read, segments_of, view
from policy_learner.errors import BadArchive
from sidecar.contracts.log_files import NOTHING, Forgotten, LogFile, Manifest

BESIDE = ("late", "dead")
"""Datasets that name decisions and hold no unit of their own."""
_REMEMBERED_MS = 400 * 86_400_000
"""How long a forgotten unit's digest is kept: longer than any decision waits for its rewards."""
_ATTEMPTS = 5
_COLUMNS = ["unit_bucket", "unit_id", "decided_at", "decision_id", "session_id"]


class Names(NamedTuple):
    """What a unit's rows are called elsewhere."""

    decisions: frozenset[str]
    sessions: frozenset[str]

    @property
    def all(self) -> frozenset[str]:
        """A late reward names a decision or a session."""
        return self.decisions | self.sessions


class Erased(NamedTuple):
    """What was deleted of a unit."""

    rows: dict[str, int]
    """Dataset to rows."""
    decisions: int
    files: int
    """Written again."""


def forget(
    log: Path,
    app: str,
    unit: str,
    now_ms: int,
    shape: Shape | None = None,
    tick: Progress = lambda rows: None,
) -> Erased:
    """Delete what the log holds of a unit, of decisions made until now. Doing so again changes nothing.

    Killed half-way, the unit's decisions are the last to go, so that the next attempt finds everything again.

    Raises:
        BadArchive, BrokenChain, BadManifest: a file is damaged, or others never stopped compacting.
        OSError: the disk is full or away.
    """
    request = compaction.forgotten_of(unit, now_ms)
    folders = {dataset: dataset_folder(log, dataset, app) for dataset in ("lessons", "decisions")}
    names = names_of([view(folder) for folder in folders.values()], [request])
    rows, files = _erase_beside(log, app, names, now_ms, shape)
    _remember(folders["decisions"], request, now_ms)
    for dataset, folder in folders.items():
        if names.decisions and folder.is_dir():
            rows[dataset], more = _erase(folder, dataset, now_ms, shape, tick)
            files += more
    return Erased({name: count for name, count in rows.items() if count}, len(names.decisions), files)


def forget_latecomers(log: Path, app: str, dataset: str, day: str, now_ms: int) -> None:
    """Before decisions, or lessons, of a day are compacted: what lies beside those that are to be forgotten.

    They themselves are left out by that compaction.
    """
    folder = dataset_folder(log, dataset, app)
    units = compaction.units_to_forget(folder)
    if units:
        names = names_of([_only(view(folder), day)], units)
        _erase_beside(log, app, names, now_ms, None)


def names_of(seen: Collection[View], units: Collection[Forgotten]) -> Names:
    """Decisions and sessions of some units."""
    decisions: set[str] = set()
    sessions: set[str] = set()
    wanted = forgotten(list(units)).wanted
    assert wanted is not None
    for segment in (segment for one in seen for segment in one.segments):
        table = read(segment, _COLUMNS)
        found = table.filter(wanted(table))
        decisions.update(found["decision_id"].to_pylist())
        sessions.update(found["session_id"].to_pylist())
    return Names(frozenset(decisions), frozenset(sessions))


def _only(seen: View, day: str) -> View:
    """What the archiver wrote on a day."""
    lanes = {lane: [p for p in paths if p.parent.name == f"dt={day}"] for lane, paths in seen.lanes.items()}
    return View(seen.folder, NOTHING, lanes)


def _erase_beside(
    log: Path, app: str, names: Names, now_ms: int, shape: Shape | None
) -> tuple[dict[str, int], int]:
    rows, files = {}, 0
    for dataset in BESIDE:
        folder = dataset_folder(log, dataset, app)
        if names.decisions and folder.is_dir():
            rows[dataset], more = _erase(folder, dataset, now_ms, shape, lambda rows: None, names)
            files += more
    return rows, files


def _erase(
    folder: Path,
    dataset: str,
    now_ms: int,
    shape: Shape | None,
    tick: Progress,
    names: Names | None = None,
) -> tuple[int, int]:
    """Rows deleted and files written again: first the archiver's own files become compacted ones."""
    shape, rows, files = shape or Shape(), _count(folder), 0
    for _ in range(_ATTEMPTS):
        _compact_open_days(folder, dataset, now_ms, shape, tick)
        seen = view(folder)
        removal = _removal(folder, names)
        held = [file for file in seen.manifest.files if _holds(folder, file, removal, dataset)]
        if not held:
            return _count(folder) - rows, files
        manifest = msgspec.structs.replace(
            seen.manifest, generation=seen.manifest.generation + 1, made_at_ms=now_ms, reason="forgot a unit"
        )
        runs: dict[str, list[Iterator[pa.Table]]] = {}
        for file in held:
            runs.setdefault(file.day, []).append(run_of(folder / file.path, dataset))
        if swap(folder, dataset, manifest, held, runs, sum(f.rows for f in held), removal, shape, tick):
            files += len(held)
    raise BadArchive(f"{folder}: others compact it all the time; try again")


def _compact_open_days(folder: Path, dataset: str, now_ms: int, shape: Shape, tick: Progress) -> None:
    for day in open_days(view(folder)):
        compact_day(folder, dataset, day, now_ms, whole=False, shape=shape, tick=tick)


def _removal(folder: Path, names: Names | None) -> Removal:
    if names is None:
        return forgotten(compaction.units_to_forget(folder))
    wanted = pa.array(sorted(names.all), pa.string())
    return Removal(lambda table: pc.is_in(table["decision_id"].combine_chunks(), wanted))


def _holds(folder: Path, file: LogFile, removal: Removal, dataset: str) -> bool:
    """Whether a file holds a row that is to go."""
    if removal.wanted is None:
        return False
    columns = _COLUMNS if dataset in compaction.OF_UNITS else ["decision_id"]
    tables = (read(segment, columns) for segment in segments_of(folder / file.path))
    return any(pc.any(removal.wanted(table)).as_py() for table in tables if len(table))


def _remember(folder: Path, request: Forgotten, now_ms: int) -> None:
    """Write down that a unit is to be forgotten, also where there are only lessons so far."""
    folder.mkdir(parents=True, exist_ok=True)
    for _ in range(_ATTEMPTS):
        old = view(folder).manifest
        if commit(folder, _with_request(old, request, now_ms)):
            return
    raise BadArchive(f"{folder}: others compact it all the time; try again")


def _with_request(old: Manifest, request: Forgotten, now_ms: int) -> Manifest:
    kept = [f for f in old.forgotten if f.sha256 != request.sha256 and f.before_ms > now_ms - _REMEMBERED_MS]
    return msgspec.structs.replace(
        old,
        generation=old.generation + 1,
        made_at_ms=now_ms,
        reason="a unit is to be forgotten",
        forgotten=(*kept, request),
    )


def _count(folder: Path) -> int:
    return view(folder).manifest.removed.get("forget", 0)
