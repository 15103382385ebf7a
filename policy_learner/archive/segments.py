"""The log as compaction leaves it: whole files of the archiver, and row groups of compacted files.

A compacted file holds the rows of all lanes of one day in the order of their positions (then lanes), and
says in its footer from where to where each of its row groups goes, so that a reader finds a stretch without
reading the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from policy_learner.errors import BadArchive
from sidecar.contracts.log_files import LogFile, Manifest, live_name, order, read_manifest

GROUPS = b"sidearm.groups"

Position = tuple[int, int]


class Group(NamedTuple):
    """One row group of a compacted file: the positions of its first and of its last row."""

    first: str
    last: str
    rows: int


class Segment(NamedTuple):
    """A piece of the log that is read at once."""

    path: Path
    group: int | None
    """Number of the row group; None: the whole file."""


class View(NamedTuple):
    """A dataset at one moment: each row is in a compacted file or in one of the archiver's, never in both."""

    folder: Path
    manifest: Manifest
    lanes: dict[int, list[Path]]
    """The archiver's files that count, by lane, each in its order."""

    @property
    def segments(self) -> list[Segment]:
        """All pieces: compacted ones in the order of their days, then lane by lane what came since."""
        live = [Segment(path, None) for lane in sorted(self.lanes) for path in self.lanes[lane]]
        return [*(s for file in self.manifest.files for s in segments_of(self.folder / file.path)), *live]

    def on(self, days: Sequence[str]) -> list[LogFile]:
        """The compacted files of some days, such as ``2026-01-31``."""
        return [file for file in self.manifest.files if file.day in days]


def view(folder: Path) -> View:
    """Look at a dataset.

    Raises:
        BadManifest: its manifest cannot be read.
    """
    found = [(live_name(path), path) for path in folder.glob("dt=*/*.parquet")]
    manifest = read_manifest(folder)  # after the files, see sidecar.contracts.log_files
    named = [(name, path) for name, path in found if name and not manifest.covers_entry(*name)]
    lanes: dict[int, list[Path]] = {}
    for (lane, _), path in sorted(named, key=lambda one: order(one[0][1])):
        lanes.setdefault(lane, []).append(path)
    return View(folder, manifest, lanes)


def first_of(path: Path) -> str:
    """The position that one of the archiver's files begins with."""
    name = live_name(path)
    if name is None:
        raise BadArchive(f"{path} is not named as a file of the log is")
    return name[1]


def groups_of(path: Path) -> list[Group]:
    """The row groups of a compacted file.

    Raises:
        BadArchive: it is not one, or damaged.
        FileNotFoundError: a later generation replaced it, and its grace is over.
    """
    try:
        stored = (pq.read_metadata(path).metadata or {})[GROUPS]
        return msgspec.json.decode(stored, type=list[Group])
    except (pa.ArrowInvalid, KeyError, msgspec.MsgspecError) as error:
        raise BadArchive(f"{path} is no whole compacted file: {error!r}") from error


def segments_of(path: Path) -> list[Segment]:
    """The pieces of a compacted file."""
    return [Segment(path, number) for number in range(len(groups_of(path)))]


def read(segment: Segment, columns: Sequence[str] | None = None) -> pa.Table:
    """The rows of a piece.

    Raises:
        BadArchive: it cannot be read.
        FileNotFoundError: a later generation replaced it, and its grace is over.
    """
    wanted = list(columns) if columns is not None else None
    try:
        with pq.ParquetFile(segment.path) as file:
            if segment.group is None:
                return file.read(wanted, use_threads=False)
            return file.read_row_group(segment.group, wanted, use_threads=False)
    except (pa.ArrowInvalid, IndexError) as error:
        raise BadArchive(f"{segment.path}: {error}") from error


def keys_of(positions: pa.ChunkedArray) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Milliseconds and sequence of each position, as numbers."""
    if not len(positions):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    parts = pc.split_pattern(positions.combine_chunks(), "-", max_splits=1)
    ms, sequence = (pc.list_element(parts, n).cast(pa.int64()).to_numpy(zero_copy_only=False) for n in (0, 1))
    return ms, sequence
