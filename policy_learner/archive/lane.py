"""A lane of the archive: one stream on its way into one chain of Parquet files.

Entries become rows as they are read, a bounded number at a time, so that writing a file never stops the
learner for long. What was read and not yet written is in memory only: it is read again after a restart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from policy_learner.archive import chain
from policy_learner.archive.chain import Newest, Span
from policy_learner.join.positions import START, date_of, order
from policy_learner.join.streams import Entry, Wanted

ToTable = Callable[[Sequence[Entry]], pa.Table]
"""Entries to rows. It leaves out what cannot be a row and says so itself; it never raises for an entry."""

Wrote = Callable[[str, pa.Table], None]
"""Is told of every file that is on disk: the position of its last row, and its rows."""

Takes = Callable[[Entry], bool]
"""Whether an entry of the stream is this lane's: by the entry alone, so that every writer says the same."""


def takes_all(entry: Entry) -> bool:
    """The only lane of its stream."""
    return True


class _Piece(NamedTuple):
    """Consecutive entries of one date, as rows."""

    day: date
    first: str
    last: str
    table: pa.Table


_MERGED_ROWS = 1024
"""Rows up to which small pieces become one: a table takes 30 KB, however few its rows."""


class Lane:
    """One stream on its way to disk.

    Args:
        stream: key of the stream.
        folder: of the dataset, with its ``app=``.
        lane: number of the lane within the dataset.
        to_table: what makes rows of entries.
        most_rows: rows of one file, and most that wait in memory.
        takes: which entries; files are named by these alone.
        wrote: hears of files.
    """

    def __init__(
        self,
        stream: str,
        folder: Path,
        lane: int,
        to_table: ToTable,
        most_rows: int,
        takes: Takes = takes_all,
        wrote: Wrote = lambda position, table: None,
    ) -> None:
        self.stream, self._wrote = stream, wrote
        self.folder, self._lane = folder, lane
        self._to_table, self._most_rows, self._takes = to_table, most_rows, takes
        self._pieces: list[_Piece] = []
        self._written = self._read_to = chain.end_of(folder, lane)
        self._other: Lane | None = None

    def pair(self, other: Lane) -> None:
        """Share the stream with another lane, which takes what this one leaves.

        A lane with nothing to write has no file that says how far it has been: the other's files say so.
        """
        self._other, other._other = other, self
        for one, two in ((self, other), (other, self)):
            one._read_to = max(one._read_to, chain.beside(two.folder, two._lane), key=order)

    @property
    def end(self) -> str:
        """The position up to which everything is on disk that this lane takes."""
        return self._written if self._pieces else self._read_to

    @property
    def full(self) -> bool:
        """As many rows wait as a file takes."""
        return self.waiting >= self._most_rows

    @property
    def is_ahead(self) -> bool:
        """It has read further than the lane beside it, which had to start over."""
        return self._other is not None and order(self._read_to) > order(self._other._read_to)

    @property
    def held_up(self) -> bool:
        """It is full, or the lane beside it: they go on together, so that files of one tell of both.

        One that is ahead neither reads nor writes before the other is where it is.
        """
        other = self._other
        return self.is_ahead or self.full or (other is not None and other.full and not other.is_ahead)

    @property
    def waiting(self) -> int:
        """Rows read and not yet written."""
        return sum(piece.table.num_rows for piece in self._pieces)

    @property
    def oldest(self) -> str | None:
        """Position of the first entry that was read and is in no file; None when nothing waits."""
        return self._pieces[0].first if self._pieces else None

    def wanted(self, until: str = "+") -> Wanted:
        """What it would read next, up to and with ``until``. A lane that is full should not be asked."""
        return Wanted(self.stream, self._read_to, until)

    def follow(self, newest: Mapping[Path, Newest]) -> None:
        """Somebody else writes this lane: see how far it is on disk."""
        end = newest[self.folder].end_of(self._lane, self.end)
        told = newest[self._other.folder].beside(self._lane) if self._other else START
        self._written = self._read_to = max(end, told, key=order)

    def has_read(self, position: str) -> bool:
        """Whether it has been as far as ``position``."""
        return order(self._read_to) >= order(position)

    def take(self, entries: Sequence[Entry]) -> int:
        """The entries that were wanted; how many."""
        mine = [entry for entry in entries if self._takes(entry)]
        pieces = [_Piece(day, g[0][0], g[-1][0], self._to_table(g)) for day, g in _by_day(mine)]
        for piece in pieces:
            self._keep(piece)
        if entries:
            self._read_to = entries[-1][0]
        return len(entries)

    def write(self) -> int:
        """Put everything that waits on disk; how many rows.

        When another writer was there first, its files stand, and the lane goes on after them.

        Raises:
            OSError: the disk is full or away. Nothing is lost: what waits still waits.
        """
        written = 0
        while self._pieces and not self.is_ahead:
            day, same = next((day, list(pieces)) for day, pieces in groupby(self._pieces, lambda p: p.day))
            table = pa.concat_tables([piece.table for piece in same])
            covers = Span(self._written, same[-1].last, self._other.end if self._other else START)
            if chain.append(self.folder, self._lane, day, same[0].first, covers, table) is None:
                self._start_over()
                break
            written += table.num_rows
            self._written = covers.last
            self._wrote(covers.last, table)
            self._pieces = self._pieces[len(same) :]
        return written

    def _keep(self, piece: _Piece) -> None:
        """Let it wait, in one table with those before it that are not much larger: few copies, few tables."""
        while self._pieces and _belong_together(self._pieces[-1], piece):
            before = self._pieces.pop()
            table = pa.concat_tables([before.table, piece.table]).combine_chunks()
            piece = _Piece(piece.day, before.first, piece.last, table)
        self._pieces.append(piece)

    def _start_over(self) -> None:
        self._written = self._read_to = chain.end_of(self.folder, self._lane)
        self._pieces = []


def _belong_together(before: _Piece, piece: _Piece) -> bool:
    rows, more = before.table.num_rows, piece.table.num_rows
    return before.day == piece.day and rows <= 2 * more and rows + more <= _MERGED_ROWS


def _by_day(entries: Sequence[Entry]) -> list[tuple[date, list[Entry]]]:
    """Entries cut at midnight, UTC."""
    if entries and date_of(entries[0][0]) == date_of(entries[-1][0]):  # they are in order
        return [(date_of(entries[0][0]), list(entries))]
    groups: list[tuple[date, list[Entry]]] = []
    for entry in entries:
        day = date_of(entry[0])
        if not groups or groups[-1][0] != day:
            groups.append((day, []))
        groups[-1][1].append(entry)
    return groups
