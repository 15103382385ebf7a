"""Stretches of one dataset by their positions; the pieces of it that were used last are held in memory."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from policy_learner.archive import chain
from policy_learner.archive.segments import Group, Position, Segment, View, first_of, groups_of, read, view
from policy_learner.errors import CannotRebuild
from policy_learner.join.positions import START, date_of, order
from sidecar.contracts.log_files import NOTHING, live_name

_PIECES_HELD = 32


class Stretch(NamedTuple):
    """Rows of one lane from one position to another, as far as the dataset has them."""

    positions: list[Position]
    tables: list[pa.Table]
    begins: bool
    """The dataset has what lies at the first position, or something before it."""
    reaches: bool
    """It has what lies at the last position, or something after it."""


@dataclass(frozen=True)
class _Piece:
    last: Position
    positions: list[Position]
    table: pa.Table


class _Pieces(NamedTuple):
    found: list[_Piece]
    begins: bool
    reaches: bool


class Stretches:
    """Reads one dataset.

    Args:
        folder: of the dataset.
        columns: what is wanted of each row, besides its position; a file may be older than some of them.
    """

    def __init__(self, folder: Path, columns: Sequence[str]) -> None:
        self._folder, self._columns = folder, ["partition", "position", *columns]
        self._view = View(folder, NOTHING, {})
        self._starts: dict[int, list[Position]] = {}
        self._groups: dict[Path, list[Group]] = {}
        self._held: OrderedDict[Segment, dict[int, _Piece]] = OrderedDict()

    def look(self) -> None:
        """See what an archiver, or a compaction, has done since."""
        self._view = view(self._folder)
        self._starts = {
            lane: [order(first_of(path)) for path in paths] for lane, paths in self._view.lanes.items()
        }

    def get(self, partition: int, first: str, last: str) -> Stretch:
        """The rows from ``first`` to ``last``, both included.

        Raises:
            CannotRebuild: retention deleted some of them.
            FileNotFoundError: a file was compacted meanwhile: look again.
        """
        found, begins, reaches = self._pieces(partition, first, last)
        parts = [_part(piece, order(first), order(last)) for piece in found]
        positions = [position for of_piece, _ in parts for position in of_piece]
        return Stretch(positions, [table for _, table in parts], begins, reaches)

    def _pieces(self, partition: int, first: str, last: str) -> _Pieces:
        manifest, lane = self._view.manifest, str(partition)
        if order(first) < order(manifest.dropped.get(lane, START)):
            raise CannotRebuild(
                f"examples {first} to {last} of partition {partition} are no longer in the log below"
                f" {self._folder}: their day was deleted (retention)"
            )
        compacted = order(manifest.covers.get(lane, START))
        pieces = self._compacted(partition, first, last) if order(first) <= compacted else []
        if order(last) <= compacted:
            return _Pieces(pieces, True, True)
        live, begins = self._live(partition, order(first), order(last))
        reaches = bool(live) and live[-1].last >= order(last)
        return _Pieces([*pieces, *live], begins or bool(manifest.covers.get(lane)), reaches)

    def _compacted(self, partition: int, first: str, last: str) -> list[_Piece]:
        low, high = order(first), order(last)
        days = [date_of(first) + timedelta(n) for n in range((date_of(last) - date_of(first)).days + 1)]
        found = [
            Segment(path, number)
            for file in self._view.on([day.isoformat() for day in days])
            for path in (self._folder / file.path,)
            for number, group in enumerate(self._groups_of(path))
            if order(group.last) >= low and order(group.first) <= high
        ]
        pieces = (self._piece(segment).get(partition) for segment in found)
        return [piece for piece in pieces if piece is not None]

    def _groups_of(self, path: Path) -> list[Group]:
        if path not in self._groups:
            self._groups[path] = groups_of(path)
        return self._groups[path]

    def _live(self, partition: int, low: Position, high: Position) -> tuple[list[_Piece], bool]:
        """Pieces of the archiver's own files, and whether one of them begins before the stretch does."""
        starts, paths = self._starts.get(partition, []), self._view.lanes.get(partition, [])
        begin = bisect_right(starts, low) - 1
        wanted = paths[max(begin, 0) : bisect_right(starts, high)]
        return [self._piece(Segment(path, None))[partition] for path in wanted], begin >= 0

    def _piece(self, segment: Segment) -> dict[int, _Piece]:
        held = self._held.get(segment)
        if held is None:
            held = self._held[segment] = _read(segment, self._columns)
            while len(self._held) > _PIECES_HELD:
                self._held.popitem(last=False)
        self._held.move_to_end(segment)
        return held


def _read(segment: Segment, columns: Sequence[str]) -> dict[int, _Piece]:
    """A piece of the log, lane by lane."""
    table = read(segment, columns)
    name = live_name(segment.path)
    if name is not None:
        return {name[0]: _lane(table, order(chain.span_of(table.schema, segment.path).last))}
    lanes = table["partition"].to_numpy()
    return {int(lane): _lane(table.filter(pa.array(lanes == lane))) for lane in np.unique(lanes)}


def _lane(table: pa.Table, last: Position | None = None) -> _Piece:
    positions = [order(position) for position in table["position"].to_pylist()]
    return _Piece(last or positions[-1], positions, table)


def _part(piece: _Piece, low: Position, high: Position) -> tuple[list[Position], pa.Table]:
    start, stop = bisect_left(piece.positions, low), bisect_right(piece.positions, high)
    return piece.positions[start:stop], piece.table.slice(start, stop - start)
