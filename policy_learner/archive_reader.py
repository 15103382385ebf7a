"""Reading the log back: examples by their positions, and the version log in its order."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from policy_learner import chain
from policy_learner.chain import Link, dataset_folder
from policy_learner.errors import BadArchive, CannotRebuild
from policy_learner.positions import order
from policy_learner.rows import VersionEntry, version_entries
from sidecar.contracts.events import DecisionEvent, decode_decision

_FILES_HELD = 32


class LoggedExample(NamedTuple):
    """A row of the log as far as training needs it."""

    event: DecisionEvent
    reward: float


@dataclass(frozen=True)
class _File:
    last: tuple[int, int]
    positions: list[tuple[int, int]]
    events: pa.ChunkedArray
    rewards: pa.ChunkedArray


class LogReader:
    """Examples from the log by their positions; the files used last are held in memory.

    Args:
        log: root of the application's datasets.
        app: its name.
        partitions: how many it has.
    """

    def __init__(self, log: Path, app: str, partitions: int) -> None:
        self._folder = dataset_folder(log, "decisions", app)
        self._links: list[list[Link]] = [[]] * partitions
        self._starts: list[list[tuple[int, int]]] = [[]] * partitions
        self._held: OrderedDict[Path, _File] = OrderedDict()

    def examples(self, partition: int, first: str, last: str) -> list[LoggedExample]:
        """The examples from ``first`` to ``last``, both included.

        Raises:
            CannotRebuild: the log does not reach that far, at either end.
        """
        low, high = order(first), order(last)
        files = self._files(partition, low, high)
        if not files or files[-1].last < high:
            self._list(partition)  # an archiver may have been here since
            files = self._files(partition, low, high)
        if not files or files[-1].last < high:
            raise CannotRebuild(
                f"examples {first} to {last} of partition {partition} are not in the log below {self._folder}"
            )
        return [example for file in files for example in _slice(file, low, high)]

    def _list(self, partition: int) -> None:
        self._links[partition] = chain.links(self._folder, partition)
        self._starts[partition] = [order(link.first) for link in self._links[partition]]

    def _files(self, partition: int, low: tuple[int, int], high: tuple[int, int]) -> list[_File]:
        return [self._file(link) for link in self._covering(partition, low, high)]

    def _covering(self, partition: int, low: tuple[int, int], high: tuple[int, int]) -> Sequence[Link]:
        starts = self._starts[partition]
        begin = bisect_right(starts, low) - 1
        return self._links[partition][begin : bisect_right(starts, high)] if begin >= 0 else []

    def _file(self, link: Link) -> _File:
        held = self._held.get(link.path)
        if held is None:
            held = self._held[link.path] = _read(link.path)
            while len(self._held) > _FILES_HELD:
                self._held.popitem(last=False)
        self._held.move_to_end(link.path)
        return held


def versions(log: Path, app: str) -> Iterator[VersionEntry]:
    """The archived version log, in its order."""
    for link in chain.links(dataset_folder(log, "versions", app), 0):
        yield from version_entries(pq.read_table(link.path, partitioning=None))


def _read(path: Path) -> _File:
    try:
        table = pq.read_table(path, columns=["position", "event", "reward"], partitioning=None)
    except pa.ArrowInvalid as error:
        raise BadArchive(f"{path}: {error}") from error
    positions = [order(position) for position in table["position"].to_pylist()]
    return _File(order(chain.span(path).last), positions, table["event"], table["reward"])


def _slice(file: _File, low: tuple[int, int], high: tuple[int, int]) -> list[LoggedExample]:
    start, stop = bisect_left(file.positions, low), bisect_right(file.positions, high)
    events = file.events.slice(start, stop - start).to_pylist()
    rewards = file.rewards.slice(start, stop - start).fill_null(math.nan).to_pylist()  # refused, as it was
    return [
        LoggedExample(decode_decision(event), reward) for event, reward in zip(events, rewards, strict=True)
    ]
