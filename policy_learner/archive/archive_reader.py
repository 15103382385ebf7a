"""Reading the log back: what was learnt, by its positions, and the version log in its order."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa

from policy_learner.archive.chain import dataset_folder
from policy_learner.archive.rows import VersionEntry, version_entries
from policy_learner.archive.segments import Position, read, view
from policy_learner.archive.stretches import Stretches
from policy_learner.errors import CannotRebuild
from policy_learner.learning.teaching import FINAL, NEVER, WAIT, Effect, Teaching, effect_of
from sidecar.contracts.events import decode_decision

_ROWS = ("event", "reward", "reward_source_n", "mode", "activated", "learn")
_LESSONS = ("event", "reward", "kind", "learn")


class LogReader:
    """What was learnt, from the log, by positions of the example stream.

    Args:
        log: root of the application's datasets.
        app: its name.
        partitions: how many it has.
    """

    def __init__(self, log: Path, app: str, partitions: int) -> None:
        self._log = log
        self._rows = Stretches(dataset_folder(log, "decisions", app), _ROWS)
        self._lessons = Stretches(dataset_folder(log, "lessons", app), _LESSONS)

    def examples(self, partition: int, first: str, last: str) -> list[Teaching]:
        """What the entries from ``first`` to ``last``, both included, teach.

        Raises:
            CannotRebuild: the log does not reach that far, at either end.
        """
        try:
            found = self._get(partition, first, last)
        except FileNotFoundError:  # compacted meanwhile
            found = None
        if found is None:
            self._rows.look()
            self._lessons.look()
            found = self._get(partition, first, last)
        if found is None:
            raise CannotRebuild(
                f"examples {first} to {last} of partition {partition} are not in the log below {self._log}"
            )
        return found

    def _get(self, partition: int, first: str, last: str) -> list[Teaching] | None:
        """None when neither dataset has such ends: each entry is in one of them."""
        rows, lessons = (one.get(partition, first, last) for one in (self._rows, self._lessons))
        if not ((rows.begins or lessons.begins) and (rows.reaches or lessons.reaches)):
            return None
        taught = [one for table in rows.tables for one in _of_rows(table)]
        if not lessons.positions:
            return taught
        before = [one for table in lessons.tables for one in _of_lessons(table)]
        return _in_order([*rows.positions, *lessons.positions], [*taught, *before])


def versions(log: Path, app: str, since: date = date.min) -> Iterator[VersionEntry]:
    """The archived version log, in its order; from one day on."""
    for segment in view(dataset_folder(log, "versions", app)).segments:
        if segment.path.parent.name >= f"dt={since.isoformat()}":
            yield from version_entries(read(segment))


def _in_order(positions: Sequence[Position], taught: Sequence[Teaching]) -> list[Teaching]:
    """As the stream had them."""
    return [taught[n] for n in sorted(range(len(positions)), key=positions.__getitem__)]


def _of_rows(table: pa.Table) -> Iterator[Teaching]:
    modes, activated = _column(table, "mode"), _column(table, "activated")
    counts = table["reward_source_n"].to_pylist()
    rows = zip(*_basis(table), modes, activated, counts, strict=True)
    for event, reward, learnt, mode, active, count in rows:
        effect = effect_of(NEVER if active is False else FINAL, mode or WAIT, count > 0)
        yield Teaching(decode_decision(event), reward, effect if learnt else Effect.NONE)


def _of_lessons(table: pa.Table) -> Iterator[Teaching]:
    for event, reward, learnt, kind in zip(*_basis(table), table["kind"].to_pylist(), strict=True):
        yield Teaching(decode_decision(event), reward, effect_of(kind, "", True) if learnt else Effect.NONE)


def _basis(table: pa.Table) -> tuple[list[bytes], list[float], list[bool]]:
    """Events, rewards, and whether they were learnt: what was refused is not tried again, it may kill."""
    rewards = table["reward"].fill_null(math.nan).to_pylist()
    return table["event"].to_pylist(), rewards, table["learn"].to_pylist()


def _column(table: pa.Table, name: str) -> list[Any]:
    """A column that older files do not have."""
    return table[name].to_pylist() if name in table.column_names else [None] * len(table)
