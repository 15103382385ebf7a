"""Compaction: the many small files of a day become few, sorted, in one step for every reader.

A day's new files are written under names that nobody reads; then a manifest is linked that lists them and
says which of the archiver's files they stand for (``generation.py``). Killed before that link, nothing has
happened; killed after it, only clearing up is left. A lane's compacted part is always the beginning of its
chain: days are compacted in their order.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from policy_learner.archive import chain
from policy_learner.archive.arrow_schema import compression_of, dictionary_of
from policy_learner.archive.generation import TEMPORARY, commit, flush_folder
from policy_learner.archive.merging import merge
from policy_learner.archive.rows import SCHEMAS
from policy_learner.archive.segments import GROUPS, Group, Segment, View, read, segments_of, view
from policy_learner.errors import BadArchive, BrokenChain
from policy_learner.failpoints import reached
from policy_learner.join.positions import START
from sidecar.contracts.errors import BadManifest
from sidecar.contracts.ids import unit_bucket
from sidecar.contracts.log_files import Forgotten, LogFile, Manifest, load_manifest, order, read_manifest

Progress = Callable[[int], None]
"""Told how many more rows were written."""

OF_UNITS = ("decisions", "lessons")
"""Datasets whose rows name their unit; those of the others name decisions."""


class Shape(NamedTuple):
    """How large what compaction writes is."""

    group_rows: int = 50_000
    """Rows of a row group: what a reader holds at once."""
    file_rows: int = 2_000_000
    """Rows of a file, about."""


@dataclass
class Removal:
    """Rows that are left out of what is written again, and what is known of them afterwards."""

    wanted: Callable[[pa.Table], pa.Array] | None = None
    """Of each row, whether it goes; None: every row stays."""
    rows: int = 0
    first: dict[str, str] = field(default_factory=dict)
    """Lane to the first position that is gone."""

    def kept(self, table: pa.Table) -> pa.Table:
        """A table without them."""
        if self.wanted is None:
            return table
        gone = self.wanted(table)
        found = table.filter(gone)
        if not len(found):
            return table
        self.rows += len(found)
        for row in found.select(_lane_and_position(found)).to_pylist():
            lane, position = str(row.get("partition", 0)), row["position"]
            self.first[lane] = min(self.first.get(lane, position), position, key=order)
        return table.filter(pc.invert(gone))


def forgotten(units: Sequence[Forgotten]) -> Removal:
    """Decisions of units that are to be forgotten go."""

    def wanted(table: pa.Table) -> pa.Array:
        gone = np.zeros(len(table), bool)
        buckets, made = table["unit_bucket"].to_numpy(), table["decided_at"].cast(pa.int64()).to_numpy()
        for unit in units:
            for place in np.flatnonzero((buckets == unit.bucket) & (made < unit.before_ms * 1000)):
                gone[place] |= digest_of(table["unit_id"][int(place)].as_py()) == unit.sha256
        return pa.array(gone)

    return Removal(wanted if units else None)


def forgotten_of(unit: str, before_ms: int) -> Forgotten:
    """A unit without its name."""
    return Forgotten(unit_bucket(unit), digest_of(unit), before_ms)


def digest_of(unit: str) -> str:
    """What is kept of a forgotten unit's id."""
    return hashlib.sha256(unit.encode()).hexdigest()


def units_to_forget(folder: Path) -> tuple[Forgotten, ...]:
    """Of a dataset's application: the manifest of its decisions keeps them for all datasets."""
    return read_manifest(chain.dataset_folder(folder.parent.parent, "decisions", folder.name[4:])).forgotten


def open_days(seen: View) -> list[str]:
    """Days of which files of the archiver count, in their order."""
    return sorted({_day(path) for paths in seen.lanes.values() for path in paths})


def compact_day(
    folder: Path,
    dataset: str,
    day: str,
    now_ms: int,
    *,
    whole: bool = True,
    shape: Shape | None = None,
    tick: Progress = lambda rows: None,
) -> Manifest | None:
    """Put the archiver's files of a day into a new generation.

    Args:
        folder: of the dataset.
        dataset: its name, for the columns.
        day: the first one that has such files.
        now_ms: by the clock of whoever calls.
        whole: True: with what was compacted of that day before, so that the day is in as few files as can be;
            False: beside it, for a day that goes on.
        shape: of what is written.
        tick: told how many more rows were written.

    Returns:
        The manifest that counts now; None when somebody else was there first, and nothing has changed.

    Raises:
        BadArchive, BrokenChain: a file is damaged. Nothing has changed.
        OSError: the disk is full or away. Nothing has changed.
    """
    seen = view(folder)
    live = {lane: _of_day(paths, day) for lane, paths in seen.lanes.items()}
    live = {lane: paths for lane, paths in live.items() if paths}
    covers = {str(lane): _end(seen.manifest, lane, paths) for lane, paths in live.items()}
    before = seen.on([day]) if whole else []
    runs = [_run([Segment(path, None) for path in paths], dataset) for paths in live.values()]
    runs += [_run(segments_of(folder / file.path), dataset) for file in before]
    removal = forgotten(units_to_forget(folder)) if dataset in OF_UNITS else Removal()
    expected = _rows([*(p for paths in live.values() for p in paths), *(folder / f.path for f in before)])
    manifest = msgspec.structs.replace(
        seen.manifest,
        generation=seen.manifest.generation + 1,
        made_at_ms=now_ms,
        reason=f"compacted {day}",
        covers={**seen.manifest.covers, **covers},
        beside={**seen.manifest.beside, **chain.told_beside(seen.manifest, live)},
    )
    return swap(folder, dataset, manifest, before, {day: runs}, expected, removal, shape or Shape(), tick)


def swap(
    folder: Path,
    dataset: str,
    manifest: Manifest,
    replaced: Sequence[LogFile],
    runs: dict[str, list[Iterator[pa.Table]]],
    expected: int,
    removal: Removal,
    shape: Shape,
    tick: Progress,
) -> Manifest | None:
    """Write the runs of some days into files, and let ``manifest`` with these instead of ``replaced`` count.

    Returns:
        The manifest as it counts now; None when somebody else made that generation: nothing has changed.

    Raises:
        BadArchive: rows are missing. Nothing has changed.
    """
    token = uuid.uuid4().hex[:8]
    written: list[LogFile] = []
    try:
        for day, tables in runs.items():
            merged = merge([map(removal.kept, run) for run in tables], shape.group_rows)
            place = _Place(folder, day, f"g{manifest.generation:08d}-{token}")
            written += _write(place, merged, SCHEMAS[dataset], shape, tick)
        if sum(file.rows for file in written) + removal.rows != expected:
            raise BadArchive(f"{folder}: {expected} rows to compact, {sum(f.rows for f in written)} came out")
        files = sorted([*(f for f in manifest.files if f not in replaced), *written], key=lambda f: f.path)
        manifest = msgspec.structs.replace(_without(manifest, removal), files=tuple(files))
        return manifest if commit(folder, manifest) else None
    finally:
        _discard_unless_listed(folder, manifest.generation, written)


def run_of(path: Path, dataset: str) -> Iterator[pa.Table]:
    """The rows of a compacted file, group by group."""
    return _run(segments_of(path), dataset)


def rows_of(path: Path) -> int:
    """How many rows a file has.

    Raises:
        BadArchive: it is damaged.
    """
    try:
        return int(pq.read_metadata(path).num_rows)
    except pa.ArrowInvalid as error:
        raise BadArchive(f"{path} is no whole file of the log: {error}") from error


def _discard_unless_listed(folder: Path, generation: int, written: Sequence[LogFile]) -> None:
    """Remove what was written in vain. Whether it was is looked up: an error may come after the commit too.

    Where that cannot be seen the files stay; ``generation.clean`` removes them when a later generation
    counts.
    """
    with suppress(OSError, BadManifest):
        standing = load_manifest(folder, generation)
        listed = {file.path for file in standing.files} if standing else set()
        for file in written:
            if file.path not in listed:
                (folder / file.path).unlink(missing_ok=True)


class _Place(NamedTuple):
    folder: Path
    day: str
    stem: str


def _write(
    place: _Place, groups: Iterator[pa.Table], schema: pa.Schema, shape: Shape, tick: Progress
) -> list[LogFile]:
    """Groups to files, each on disk and whole."""
    where = place.folder / f"dt={place.day}"
    where.mkdir(exist_ok=True)
    written: list[LogFile] = []
    pending = next(groups, None)
    while pending is not None:
        final = where / f"{place.stem}-{len(written)}.parquet"
        temporary = where / f"{TEMPORARY}{final.name}"
        try:
            rows, pending = _write_one(temporary, pending, groups, schema, shape, tick)
            reached("compacted file written")
            os.rename(temporary, final)
        finally:
            temporary.unlink(missing_ok=True)
        written.append(LogFile(f"{where.name}/{final.name}", rows, final.stat().st_size))
        reached("compacted file named")
    flush_folder(where)
    return written


def _write_one(
    path: Path, first: pa.Table, groups: Iterator[pa.Table], schema: pa.Schema, shape: Shape, tick: Progress
) -> tuple[int, pa.Table | None]:
    """One file; how many rows it has, and the group that begins the next one."""
    told: list[Group] = []
    group: pa.Table | None = first
    with path.open("xb") as file:
        with pq.ParquetWriter(
            file,
            schema,
            compression=compression_of(schema),
            use_dictionary=dictionary_of(schema),
            store_schema=True,
        ) as writer:
            while group is not None and sum(g.rows for g in told) < shape.file_rows:
                writer.write_table(group, row_group_size=len(group))
                told.append(Group(group["position"][0].as_py(), group["position"][-1].as_py(), len(group)))
                tick(len(group))
                group = next(groups, None)
            writer.add_key_value_metadata({GROUPS.decode(): msgspec.json.encode(told).decode()})
        file.flush()
        os.fsync(file.fileno())
    return sum(g.rows for g in told), group


def _run(segments: Iterable[Segment], dataset: str) -> Iterator[pa.Table]:
    schema = SCHEMAS[dataset]
    for segment in segments:
        yield _conform(read(segment), schema, segment.path)


def _conform(table: pa.Table, schema: pa.Schema, path: Path) -> pa.Table:
    """A table with the columns of today: what an older archiver did not know yet is null.

    Raises:
        BadArchive: it has columns of a later version, or lacks one that must have a value.
    """
    if table.schema.equals(schema):
        return table.replace_schema_metadata(None)
    unknown = [name for name in table.column_names if name not in schema.names]
    missing = [f.name for f in schema if f.name not in table.column_names and not f.nullable]
    if unknown or missing:
        raise BadArchive(f"{path} is of another version: columns {', '.join(unknown + missing)}")
    columns = [
        table[f.name] if f.name in table.column_names else pa.nulls(len(table), f.type) for f in schema
    ]
    try:
        return pa.table(columns, schema=schema)
    except (pa.ArrowInvalid, TypeError) as error:
        raise BadArchive(f"{path} is of another version: {error}") from error


def _of_day(paths: Sequence[Path], day: str) -> list[Path]:
    """The files of a day, which begin the list.

    Raises:
        BrokenChain: an earlier day stands before it.
    """
    found = [path for path in paths if _day(path) == day]
    if found and paths[0] != found[0]:
        raise BrokenChain(f"{paths[0]} is of before {day} and not compacted yet")
    return found


def _end(manifest: Manifest, lane: int, paths: Sequence[Path]) -> str:
    """Where a lane's compacted part will end: every file begins where the one before it ended.

    Raises:
        BrokenChain: one does not.
    """
    end = manifest.covers.get(str(lane), START)
    for path in paths:
        covers = chain.span(path)
        if covers.after != end:
            raise BrokenChain(f"{path} begins after {covers.after}, the file before it ends at {end}")
        end = covers.last
    return end


def _without(manifest: Manifest, removal: Removal) -> Manifest:
    if not removal.rows:
        return manifest
    earlier = manifest.forgotten_from
    first = {lane: min(earlier.get(lane, at), at, key=order) for lane, at in removal.first.items()}
    return msgspec.structs.replace(
        manifest,
        removed={**manifest.removed, "forget": manifest.removed.get("forget", 0) + removal.rows},
        forgotten_from={**earlier, **first},
    )


def _rows(paths: Iterable[Path]) -> int:
    return sum(rows_of(path) for path in paths)


def _day(path: Path) -> str:
    return path.parent.name.removeprefix("dt=")


def _lane_and_position(table: pa.Table) -> list[str]:
    return [name for name in ("partition", "position") if name in table.column_names]
