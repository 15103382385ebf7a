"""Reading the log back: examples by their positions, and the version log in its order."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

from policy_learner import chain
from policy_learner.chain import dataset_folder
from policy_learner.errors import CannotRebuild
from policy_learner.positions import START, date_of, order
from policy_learner.rows import VersionEntry, version_entries
from policy_learner.segments import Group, Position, Segment, View, first_of, groups_of, read, view
from policy_learner.teaching import Teaching
from sidecar.contracts.events import decode_decision
from sidecar.contracts.log_files import NOTHING, live_name

_PIECES_HELD = 32


@dataclass(frozen=True)
class _Piece:
    last: Position
    positions: list[Position]
    events: pa.ChunkedArray
    rewards: pa.ChunkedArray


class LogReader:
    """Examples from the log by their positions; the pieces used last are held in memory.

    Args:
        log: root of the application's datasets.
        app: its name.
        partitions: how many it has.
    """

    def __init__(self, log: Path, app: str, partitions: int) -> None:
        self._folder = dataset_folder(log, "decisions", app)
        self._view = View(self._folder, NOTHING, {})
        self._starts: dict[int, list[Position]] = {}
        self._groups: dict[Path, list[Group]] = {}
        self._held: OrderedDict[Segment, dict[int, _Piece]] = OrderedDict()

    def examples(self, partition: int, first: str, last: str) -> list[Teaching]:
        """The examples from ``first`` to ``last``, both included.

        Raises:
            CannotRebuild: the log does not reach that far, at either end.
        """
        try:
            pieces = self._pieces(partition, first, last)
        except FileNotFoundError:  # compacted meanwhile
            pieces = None
        if pieces is None:
            self._look()
            pieces = self._pieces(partition, first, last)
        if pieces is None:
            raise CannotRebuild(
                f"examples {first} to {last} of partition {partition} are not in the log below {self._folder}"
            )
        return [example for piece in pieces for example in _slice(piece, order(first), order(last))]

    def _look(self) -> None:
        """An archiver, or a compaction, may have been here since."""
        self._view = view(self._folder)
        self._starts = {
            lane: [order(first_of(path)) for path in paths] for lane, paths in self._view.lanes.items()
        }

    def _pieces(self, partition: int, first: str, last: str) -> list[_Piece] | None:
        """The pieces that hold a stretch; None when the log does not reach that far."""
        manifest, lane = self._view.manifest, str(partition)
        if order(first) < order(manifest.dropped.get(lane, START)):
            raise CannotRebuild(
                f"examples {first} to {last} of partition {partition} are no longer in the log below"
                f" {self._folder}: their day was deleted (retention)"
            )
        compacted = order(manifest.covers.get(lane, START))
        pieces = self._compacted(partition, first, last) if order(first) <= compacted else []
        if order(last) <= compacted:
            return pieces
        live = self._live(partition, order(first), order(last), bool(manifest.covers.get(lane)))
        return [*pieces, *live] if live and live[-1].last >= order(last) else None

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

    def _live(self, partition: int, low: Position, high: Position, follows: bool) -> list[_Piece]:
        """Pieces of the archiver's own files; ``follows``: what lies before them was compacted."""
        starts, paths = self._starts.get(partition, []), self._view.lanes.get(partition, [])
        begin = bisect_right(starts, low) - 1
        if begin < 0 and not follows:
            return []
        wanted = paths[max(begin, 0) : bisect_right(starts, high)]
        return [self._piece(Segment(path, None))[partition] for path in wanted]

    def _piece(self, segment: Segment) -> dict[int, _Piece]:
        held = self._held.get(segment)
        if held is None:
            held = self._held[segment] = _read(segment)
            while len(self._held) > _PIECES_HELD:
                self._held.popitem(last=False)
        self._held.move_to_end(segment)
        return held


def versions(log: Path, app: str) -> Iterator[VersionEntry]:
    """The archived version log, in its order."""
    for segment in view(dataset_folder(log, "versions", app)).segments:
        yield from version_entries(read(segment))


def _read(segment: Segment) -> dict[int, _Piece]:
    """A piece of the log, lane by lane."""
    table = read(segment, ["partition", "position", "event", "reward"])
    name = live_name(segment.path)
    if name is not None:
        return {name[0]: _lane(table, order(chain.span(segment.path).last))}
    lanes = table["partition"].to_numpy()
    return {int(lane): _lane(table.filter(pa.array(lanes == lane))) for lane in np.unique(lanes)}


def _lane(table: pa.Table, last: Position | None = None) -> _Piece:
    positions = [order(position) for position in table["position"].to_pylist()]
    return _Piece(last or positions[-1], positions, table["event"], table["reward"])


def _slice(file: _Piece, low: Position, high: Position) -> list[Teaching]:
    start, stop = bisect_left(file.positions, low), bisect_right(file.positions, high)
    events = file.events.slice(start, stop - start).to_pylist()
    rewards = file.rewards.slice(start, stop - start).fill_null(math.nan).to_pylist()  # refused, as it was
    return [Teaching(decode_decision(event), reward) for event, reward in zip(events, rewards, strict=True)]
