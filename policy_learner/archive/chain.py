"""A chain of Parquet files: each begins after the end of the one before, and nobody can write one twice.

A lane is one stream (of one partition) in one dataset. Its files are named
``dt=<date, UTC>/<lane>-<first position>.parquet``; the footer says where the file ends and where the one
before it ended. There is no other commit record: a file is written under another name, flushed to disk,
and then linked to its own, which fails when that exists. So of two writers one wins, and the other reads the
chain again.

Older files may have been compacted: then a manifest stands for the beginning of each lane's chain
(``sidecar.contracts.log_files``), and the first file after it begins where the manifest's part ends.
"""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from policy_learner.archive.arrow_schema import compression_of, dictionary_of
from policy_learner.errors import BrokenChain
from policy_learner.failpoints import reached
from policy_learner.join.positions import START, date_of, order
from sidecar.contracts.log_files import NOTHING, Manifest, live_name, read_manifest

_TEMPORARY = ".writing-"
_AFTER, _LAST, _BESIDE = b"sidearm.after", b"sidearm.last", b"sidearm.beside"
_FORMAT, _FORMAT_NOW = b"sidearm.format", b"1"


class Link(NamedTuple):
    """One file of a lane."""

    path: Path
    first: str
    """Position of the first stream entry that it covers."""


class Span(NamedTuple):
    """What a file covers: entries after ``after``, up to and with ``last``."""

    after: str
    last: str
    beside: str = START
    """Where two lanes share a stream: up to here the other one was on disk when this was written."""


def dataset_folder(log: Path, dataset: str, app: str) -> Path:
    """Where a dataset's files lie, as Hive partitions."""
    return log / dataset / f"app={app}"


def links(folder: Path, lane: int) -> list[Link]:
    """The files of a lane in their order, without those that were compacted. Reads names and the manifest."""
    return _chain(folder, lane)[1]


def span(path: Path) -> Span:
    """What a file covers, from its footer.

    Raises:
        BrokenChain: not a file of a chain.
    """
    try:
        return span_of(pq.read_schema(path), path)
    except pa.ArrowInvalid as error:
        raise BrokenChain(f"{path} is no whole file of the log: {error!r}") from error


def span_of(schema: pa.Schema, path: Path) -> Span:
    """What a file covers, from the schema that was read with its rows.

    Raises:
        BrokenChain: not a file of a chain.
    """
    metadata = schema.metadata or {}
    try:
        beside = metadata.get(_BESIDE, START.encode()).decode()
        return Span(metadata[_AFTER].decode(), metadata[_LAST].decode(), beside)
    except KeyError as error:
        raise BrokenChain(f"{path} is no whole file of the log: {error!r}") from error


def end_of(folder: Path, lane: int) -> str:
    """The position up to which a lane is on disk; :data:`START` when nothing is."""
    compacted, files = _chain(folder, lane)
    return span(files[-1].path).last if files else compacted


def beside(folder: Path, lane: int) -> str:
    """Up to where the newest file of a lane says that the other lane of its stream is on disk."""
    files = _chain(folder, lane)[1]
    told = read_manifest(folder).beside.get(str(lane), START)
    return max(told, span(files[-1].path).beside, key=order) if files else told


def told_beside(manifest: Manifest, replaced: Mapping[int, Sequence[Path]]) -> dict[str, str]:
    """What a manifest must tell of the other lane of each stream, when files of these lanes are replaced."""
    told = {}
    for lane, paths in replaced.items():
        known = [manifest.beside.get(str(lane), START), *(span(path).beside for path in paths)]
        told[str(lane)] = max(known, key=order)
    return {lane: position for lane, position in told.items() if position != START}


class Newest:
    """How far the lanes of a dataset are on disk, written by somebody else: one listing for all of them.

    Args:
        folder: of the dataset.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[int, Link] = {}
        self._spans: dict[Path, Span] = {}
        self._compacted = NOTHING

    def look(self) -> None:
        """See what came since.

        Raises:
            BrokenChain: a file is none of a chain.
            OSError: the disk is away.
        """
        for path in self._folder.glob("dt=*/*.parquet"):
            lane = live_name(path)
            if lane is not None and (
                lane[0] not in self._files or order(lane[1]) > order(self._files[lane[0]].first)
            ):
                self._files[lane[0]] = Link(path, lane[1])
        self._compacted = read_manifest(self._folder)

    def end_of(self, lane: int, known: str) -> str:
        """The position up to which a lane is on disk for good, ``known`` or a later one."""
        found = [known, self._compacted.covers.get(str(lane), START)]
        if lane in self._files:
            found.append(self._span(self._files[lane].path).last)
        return max(found, key=order)

    def beside(self, lane: int) -> str:
        """Up to where the other lane of the same stream is."""
        told = [self._compacted.beside.get(str(lane), START)]
        if lane in self._files:
            told.append(self._span(self._files[lane].path).beside)
        return max(told, key=order)

    def _span(self, path: Path) -> Span:
        if path in self._spans:
            return self._spans[path]
        try:
            found = span(path)
            _flush_folder(path.parent)  # its writer may be between naming the file and making that last
        except FileNotFoundError:  # compacted meanwhile: the next look finds it in the manifest
            return Span(START, START)
        kept = {link.path for link in self._files.values()}
        self._spans = {known: one for known, one in self._spans.items() if known in kept} | {path: found}
        return found


def verify(folder: Path, lane: int) -> None:
    """Walk the whole chain.

    Raises:
        BrokenChain: a file does not begin where the one before it ended.
    """
    end, files = _chain(folder, lane)
    for link in files:
        covers = span(link.path)
        if covers.after != end:
            raise BrokenChain(f"{link.path} begins after {covers.after}, the file before it ends at {end}")
        end = covers.last


def is_compacted(folder: Path, lane: int, position: str) -> bool:
    """Whether a generation stands for what the lane wrote at a position."""
    return read_manifest(folder).covers_entry(lane, position)


def append(folder: Path, lane: int, day: date, first: str, covers: Span, table: pa.Table) -> Path | None:
    """Add a file to the chain; None when somebody else wrote one that begins there.

    It is on disk, whole, when this returns.

    The name alone does not tell of a writer that was here: the stream may have been trimmed behind its file,
    and then a writer that was paused reads from its old end, but not from the entry that comes after it. If
    nobody has written beyond ``covers.after`` by now, nothing beyond it was trimmed when ``first`` was read,
    so that whoever comes between this look and the link takes the same name.
    """
    if _has_grown(folder, lane, covers.after):
        return None
    reached("file begun")
    where = folder / f"dt={day.isoformat()}"
    _make_folder(where)
    temporary = where / f"{_TEMPORARY}{lane}-{first}.{uuid.uuid4().hex}"
    final = where / f"{lane}-{first}.parquet"
    try:
        _write(temporary, table.replace_schema_metadata(_footer(covers)))
        reached("file written")
        try:
            os.link(temporary, final)
        except (FileExistsError, FileNotFoundError):  # taken, or our temporary file was swept by a successor
            return None
        if is_compacted(folder, lane, first):  # the file of that name is one of those that were replaced
            final.unlink(missing_ok=True)
            return None
        reached("linked")
    finally:
        temporary.unlink(missing_ok=True)
    _flush_folder(where)
    return final


def sweep(folder: Path) -> int:
    """Remove half-written files of writers that are gone; how many.

    One that is still at it loses nothing: its link fails, and it reads the chain again.
    """
    stray = list(folder.glob(f"dt=*/{_TEMPORARY}*"))
    for path in stray:
        path.unlink(missing_ok=True)
    return len(stray)


def _has_grown(folder: Path, lane: int, after: str) -> bool:
    """Whether a file of the lane begins after a position: one that is there, or one that was compacted.

    Reads names, only of days since then, and after them the manifest: what compaction has removed is in it.
    """
    if any(order(link.first) > order(after) for link in _found(folder, lane, date_of(after))):
        return True
    return order(read_manifest(folder).covers.get(str(lane), START)) > order(after)


def _chain(folder: Path, lane: int) -> tuple[str, list[Link]]:
    """Where the compacted part of a lane ends, and the files since."""
    found = _found(folder, lane)
    manifest = read_manifest(folder)  # after the files: what vanished from the listing is in it
    since = [link for link in found if not manifest.covers_entry(lane, link.first)]
    return manifest.covers.get(str(lane), START), sorted(since, key=lambda link: order(link.first))


def _found(folder: Path, lane: int, since: date = date.min) -> list[Link]:
    """The files of a lane that lie there, in no order, from one day on. Reads names only."""
    first = f"dt={since.isoformat()}"
    days = [folder / day for day in _names(folder) if day.startswith("dt=") and day >= first]
    begin, end = f"{lane}-", ".parquet"
    return [
        _link(d / name) for d in days for name in _names(d) if name.startswith(begin) and name.endswith(end)
    ]


def _names(folder: Path) -> list[str]:
    """What lies in a folder; nothing, if it is not there (yet, or any more)."""
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _link(path: Path) -> Link:
    name = live_name(path)
    if name is None:
        raise BrokenChain(f"{path} is not named as a file of the log is")
    return Link(path, name[1])


def _footer(covers: Span) -> dict[bytes, bytes]:
    positions = dict(zip((_AFTER, _LAST, _BESIDE), map(str.encode, covers), strict=True))
    return {**positions, _FORMAT: _FORMAT_NOW}


def _write(path: Path, table: pa.Table) -> None:
    with path.open("xb") as file:
        pq.write_table(
            table,
            file,
            compression=compression_of(table.schema),
            use_dictionary=dictionary_of(table.schema),
            store_schema=True,
        )
        file.flush()
        os.fsync(file.fileno())


def _make_folder(folder: Path) -> None:
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        _flush_folder(folder.parent)


def _flush_folder(folder: Path) -> None:
    with _opened(folder) as descriptor:
        os.fsync(descriptor)


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
