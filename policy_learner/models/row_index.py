"""The decisions of the log by the version that served them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from policy_learner.archive.chain import dataset_folder
from policy_learner.archive.segments import Segment, read, view
from policy_learner.errors import BadArchive
from sidecar.contracts.application import Application
from sidecar.contracts.events import DecisionEvent, decode_decision

_ROWS_READ = 2000
_HELD_BYTES = 512 * 2**20
_COLUMNS = ["decision_id", "arm", "arm_index", "propensity", "scores", "pmf", "event"]


class Row(NamedTuple):
    """One archived decision: its columns and the event beside them."""

    decision_id: str
    arm: str
    arm_index: int
    propensity: float
    scores: list[float] | None
    pmf: list[float] | None
    event: DecisionEvent


class Index:
    """Which row of which file was served by which version: a few bytes a decision."""

    def __init__(self, log: Path, application: Application) -> None:
        self._segments = view(dataset_folder(log, "decisions", application.name)).segments
        self._held: OrderedDict[int, pa.Table] = OrderedDict()
        of_file = [_model_versions(segment) for segment in self._segments]
        sizes = [len(found) for found in of_file]
        served = np.concatenate(of_file) if of_file else np.empty(0, np.int64)
        file = np.repeat(np.arange(len(sizes)), sizes)
        place = np.concatenate([np.arange(size) for size in sizes]) if sizes else np.empty(0, np.int64)
        by_version = np.argsort(served, kind="stable")
        self._served, self._file, self._place = served[by_version], file[by_version], place[by_version]

    def __len__(self) -> int:
        return len(self._served)

    @property
    def versions(self) -> set[int]:
        """Versions that served a decision."""
        return set(np.unique(self._served).tolist())

    def rows(self, version: int) -> Iterator[list[Row]]:
        """The decisions that a version served, some at a time, file by file."""
        start, stop = np.searchsorted(self._served, [version, version + 1])
        files = self._file[start:stop]
        for number in np.unique(files):
            table = self._table(int(number))
            wanted = self._place[start:stop][files == number]
            for begin in range(0, len(wanted), _ROWS_READ):
                yield _rows(table.take(pa.array(wanted[begin : begin + _ROWS_READ])))

    def _table(self, number: int) -> pa.Table:
        """A piece of the log. Versions follow one another as the log does: the last is needed again."""
        if number not in self._held:
            try:
                self._held[number] = read(self._segments[number], _COLUMNS)
            except FileNotFoundError as error:
                raise BadArchive(f"{error.filename} was compacted meanwhile: start again") from error
        self._held.move_to_end(number)
        while len(self._held) > 1 and sum(table.nbytes for table in self._held.values()) > _HELD_BYTES:
            self._held.popitem(last=False)
        return self._held[number]


def _model_versions(segment: Segment) -> npt.NDArray[np.int64]:
    found: npt.NDArray[np.int64] = read(segment, ["model_version"])["model_version"].to_numpy()
    return found


def _rows(table: pa.Table) -> list[Row]:
    columns = [table[name].to_pylist() for name in _COLUMNS[:-1]]
    events = [decode_decision(event) for event in table["event"].to_pylist()]
    return [Row(*values) for values in zip(*columns, events, strict=True)]
