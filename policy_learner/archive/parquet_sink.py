"""The archive: every finalised decision, every reward that joined nothing, every version, once, in Parquet.

One lane a stream: decisions, late rewards and dead letters of each partition, and the version log. The stream
of examples has two: decisions at their horizon, and lessons before it. See ``lane.py`` for how a lane writes
and ``chain.py`` for why it cannot write twice.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain as joined_up
from pathlib import Path
from typing import ClassVar, TypeVar

import pyarrow as pa
import redis

from policy_learner.archive import chain
from policy_learner.archive.arm_sums import ArmCounts
from policy_learner.archive.chain import dataset_folder
from policy_learner.archive.earnings import Earnings
from policy_learner.archive.lane import Lane, Takes, ToTable, takes_all
from policy_learner.archive.rows import (
    DECISIONS,
    LATE,
    LESSONS,
    VersionEntry,
    dead_table,
    decision_table,
    late_table,
    lesson_table,
    version_table,
)
from policy_learner.join.catalogues import Catalogues
from policy_learner.join.just_read import JustRead
from policy_learner.join.learnt import Learnt
from policy_learner.join.positions import order
from policy_learner.join.read_ahead import ReadAhead
from policy_learner.join.source import Chunk, lessons_in
from policy_learner.join.streams import Entry, Wanted
from policy_learner.learning.teaching import is_lesson
from policy_learner.settings import LearnerSettings
from sidecar.contracts.application import Application
from sidecar.contracts.errors import BadEvent
from sidecar.contracts.events import JoinedDecision
from sidecar.contracts.keys import Keys, weights_log
from sidecar.contracts.scripts.call import text
from sidecar.contracts.scripts.orphan import decode_late
from sidecar.contracts.scripts.publish import decode_batches

DATASETS = ("decisions", "lessons", "late", "dead", "versions")

Refused = Callable[[JoinedDecision], bool]
"""Whether the trainer refused the example of a decision."""

log = logging.getLogger("sidearm.learner")


class Archive:
    """All lanes of one application.

    Args:
        client: of the store.
        application: whose log it is.
        folder: root of its datasets.
        settings: when a file is full.
        catalogues: for the ids of the eligible arms.
        refused: decides the column ``learn``.
    """

    is_here: ClassVar = True
    """It writes itself, and holds what was just read until it has."""

    def __init__(
        self,
        client: redis.Redis,
        application: Application,
        folder: Path,
        settings: LearnerSettings,
        catalogues: Catalogues,
        refused: Refused,
    ) -> None:
        self._client, self._reader = client, ReadAhead(client)
        name, partitions = application.name, range(application.partitions)
        folders = {dataset: dataset_folder(folder, dataset, name) for dataset in DATASETS}
        self._folders = folders
        self._arm_counts = ArmCounts(client, name, Earnings(application).call_of)
        self._just_read = JustRead()
        self._partition_of = {Keys(name, p).examples: p for p in partitions}

        def lane(stream: str, dataset: str, number: int, to_table: ToTable, takes: Takes = takes_all) -> Lane:
            return Lane(stream, folders[dataset], number, to_table, settings.archive_rows, takes)

        def rows(p: int) -> Lane:
            made, where = (
                _decisions(p, application, catalogues, refused, self._just_read),
                folders["decisions"],
            )
            takes, wrote = lambda entry: not is_lesson(entry), partial(self._arm_counts.note, p)
            return Lane(Keys(name, p).examples, where, p, made, settings.archive_rows, takes, wrote)

        def lessons(p: int) -> Lane:
            return lane(Keys(name, p).examples, "lessons", p, _lessons(p, application, refused), is_lesson)

        self.decisions, self.lessons = [rows(p) for p in partitions], [lessons(p) for p in partitions]
        for one, other in zip(self.decisions, self.lessons, strict=True):
            one.pair(other)
        self.late = [lane(Keys(name, p).late, "late", p, _late(p)) for p in partitions]
        self.dead = [lane(Keys(name, p).dead, "dead", p, partial(dead_table, p)) for p in partitions]
        self.versions = lane(weights_log(name), "versions", 0, _versions)

    @property
    def lanes(self) -> list[Lane]:
        """All of them, versions last: what a version was trained on is on disk before it is."""
        return [*self.lessons, *self.decisions, *self.late, *self.dead, self.versions]

    def begin(self) -> None:
        """Become the writer: clear away what one that died has left half-written.

        Tables are made of the C library's memory from now on: Arrow's own allocator takes pages of 2 MB for
        each batch, all of which the kernel clears, and gives them back: a tenth of an archiver's time.
        """
        pa.set_memory_pool(pa.system_memory_pool())
        for folder in self._folders.values():
            chain.sweep(folder)

    def note(self, chunks: Sequence[Chunk], positions: Sequence[str]) -> None:
        """The learner has read this: it need not be read again. ``positions``: where it was before."""
        self._just_read.keep(chunks, positions)

    def read(self, learnt: Learnt, count: int) -> int:
        """Let every lane take up to ``count`` entries; how many there were.

        A version is taken when all that it was trained on has been: on disk its examples come first.

        Args:
            learnt: up to where the learner has been: only there it is known what was refused, so decisions
                and lessons beyond are left for later.
            count: most entries of a lane.
        """
        of_partition = zip(self.decisions, self.lessons, learnt.positions, strict=True)
        examples = [(lane, until) for rows, lessons, until in of_partition for lane in (rows, lessons)]
        taken = self._read([*examples, *((lane, "+") for lane in (*self.late, *self.dead))], count)
        if all(lane.has_read(until) for lane, until in examples):
            taken += self._read([(self.versions, "+")], count, learnt.version)
        return taken

    def _read(self, wanted: Sequence[tuple[Lane, str]], count: int, newest: int | None = None) -> int:
        """Two lanes of one stream, once they are at one place, are read for together."""
        ready = [(lane, lane.wanted(until)) for lane, until in wanted if not lane.held_up]
        found = self._stretches(list(dict.fromkeys(stretch for _, stretch in ready)), count)
        if newest is not None:
            found = {stretch: _up_to(entries, newest) for stretch, entries in found.items()}
        for lane, stretch in ready:
            lane.take(found[stretch])
        return sum(map(len, found.values()))

    def _stretches(self, wanted: list[Wanted], count: int) -> dict[Wanted, list[Entry]]:
        found = {one: known for one in wanted if (known := self._known(one)) is not None}
        missing = [one for one in wanted if one not in found]
        read = self._reader.read_side_by_side(missing, count) if missing else []
        return found | dict(zip(missing, read, strict=True))

    def _known(self, wanted: Wanted) -> list[Entry] | None:
        """What need not be read: nothing is left there, or it was just read."""
        if wanted.until != "+" and order(wanted.after) >= order(wanted.until):
            return []
        partition = self._partition_of.get(wanted.stream)
        return None if partition is None else self._just_read.entries(partition, wanted)

    def look(self) -> None:
        """See how far everything is on disk: what one writes oneself one knows."""

    @property
    def full(self) -> bool:
        """A lane has a whole file's rows."""
        return any(lane.full for lane in self.lanes)

    def write(self) -> int:
        """Put on disk what waits; how many rows.

        Raises:
            OSError: the disk is full or away; what waits still waits.
        """
        written = sum(lane.write() for lane in self.lanes)
        self._arm_counts.tell()
        return written


def decode_version(entry: Entry) -> VersionEntry:
    """An entry of the version log.

    Raises:
        BadEvent: a field is missing, or holds what it should not.
    """
    position, fields = entry
    try:
        numbers = [int(fields[name]) for name in (b"version", b"epoch", b"examples")]
        version, epoch, examples = numbers
        batches = decode_batches(fields[b"batches"])
        base = text(fields.get(b"base", b""))
        return VersionEntry(position, version, epoch, examples, batches, text(fields[b"checksum"]), base)
    except (KeyError, ValueError) as error:
        raise BadEvent(f"entry {position} of the version log: {error!r}") from error


def decode_versions(entries: Sequence[Entry]) -> list[VersionEntry]:
    """Those entries of the version log that are versions; the others are named and passed over."""
    return _decoded(entries, lambda entry: [decode_version(entry)])


def _up_to(entries: list[Entry], newest: int) -> list[Entry]:
    """Entries of the version log before the first of a later version than ``newest``."""
    later = (n for n, (_, fields) in enumerate(entries) if _is_after(fields.get(b"version", b""), newest))
    return entries[: next(later, len(entries))]


def _is_after(version: bytes, newest: int) -> bool:
    return version.isdigit() and int(version) > newest


_Row = TypeVar("_Row")


def _decisions(
    partition: int,
    application: Application,
    catalogues: Catalogues,
    refused: Refused,
    just_read: JustRead,
) -> Callable[[Sequence[Entry]], pa.Table]:
    def to_table(entries: Sequence[Entry]) -> pa.Table:
        joined = _decoded(entries, lambda entry: just_read.joined(partition, entry))
        return _table_of(
            joined, lambda rows: decision_table(rows, catalogues.ids, application.reward, refused), DECISIONS
        )

    return to_table


def _lessons(partition: int, application: Application, refused: Refused) -> ToTable:
    def to_table(entries: Sequence[Entry]) -> pa.Table:
        lessons = _decoded(entries, lambda entry: lessons_in(partition, entry, application.reward))
        return _table_of(lessons, lambda rows: lesson_table(rows, refused), LESSONS)

    return to_table


def _late(partition: int) -> Callable[[Sequence[Entry]], pa.Table]:
    def to_table(entries: Sequence[Entry]) -> pa.Table:
        return _table_of(_decoded(entries, lambda entry: [decode_late(partition, *entry)]), late_table, LATE)

    return to_table


def _versions(entries: Sequence[Entry]) -> pa.Table:
    return version_table(decode_versions(entries))


def _decoded(entries: Sequence[Entry], decode: Callable[[Entry], Sequence[_Row]]) -> list[_Row]:
    """What can be decoded; what cannot is no row (an example lies with the dead letters, see ``source``)."""
    rows: list[_Row] = []
    for entry in entries:
        try:
            rows.extend(decode(entry))
        except BadEvent as error:
            log.error("no row for entry %s: %s", entry[0], error)
    return rows


def _table_of(rows: list[_Row], to_table: Callable[[list[_Row]], pa.Table], schema: pa.Schema) -> pa.Table:
    """All rows at once, or one by one when a number does not fit its column."""
    try:
        return to_table(rows)
    except (pa.ArrowInvalid, OverflowError, ValueError):
        return pa.concat_tables(joined_up([schema.empty_table()], _one_by_one(rows, to_table)))


def _one_by_one(rows: list[_Row], to_table: Callable[[list[_Row]], pa.Table]) -> list[pa.Table]:
    tables = []
    for row in rows:
        try:
            tables.append(to_table([row]))
        except (pa.ArrowInvalid, OverflowError, ValueError) as error:
            log.error("no row for %r: %s", row, error)
    return tables
