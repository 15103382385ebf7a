"""Stretches of the log: the positions that it holds, cut into batches in an order that everybody repeats.

The order is that of the streams' clock: whichever stretch begins first, lane by lane within a millisecond. It
depends on the rows and on the size of a stretch alone, not on the files that they lie in.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from policy_learner.archive import chain
from policy_learner.archive.chain import dataset_folder
from policy_learner.archive.segments import Segment, keys_of, read, view
from policy_learner.errors import BadArchive
from policy_learner.join.positions import START, date_of, order
from sidecar.contracts.scripts.publish import Batch

Numbers = npt.NDArray[np.int64]

DATASETS = ("decisions", "lessons")
"""What is learnt from: each entry of the example stream is in one of them."""
_ATTEMPTS = 5
"""When files are compacted under a reader."""


class Lane(NamedTuple):
    """The positions of one partition, in order."""

    ms: Numbers
    sequence: Numbers

    def __len__(self) -> int:
        return len(self.ms)

    def between(self, from_ms: int, until_ms: int) -> Lane:
        """Those from one moment on and before another."""
        low, high = np.searchsorted(self.ms, [from_ms, until_ms])
        return Lane(self.ms[low:high], self.sequence[low:high])


class Stretch(NamedTuple):
    """Consecutive rows of one partition."""

    batch: Batch
    rows: int


def ends(log: Path, app: str, partitions: int) -> tuple[str, ...]:
    """Up to where all of each partition that is learnt from is on disk."""
    folders = [dataset_folder(log, dataset, app) for dataset in DATASETS]
    return tuple(_end(folders, partition) for partition in range(partitions))


def lanes(log: Path, app: str, after: Sequence[str], until: Sequence[str]) -> list[Lane]:
    """The positions in the log that come after one position of each partition, up to and with another.

    Raises:
        BadArchive: a file cannot be read.
    """
    first_day = min(date_of(position) for position in after).isoformat()
    for _ in range(_ATTEMPTS):
        try:
            found = [_read(segment) for segment in _segments(log, app, first_day)]
        except FileNotFoundError:  # compacted meanwhile
            continue
        return [_lane(found, p, *bounds) for p, bounds in enumerate(zip(after, until, strict=True))]
    raise BadArchive(f"the log below {log} is compacted again and again: try later")


def cut(found: Iterable[Lane], size: int, shuffled: bool = False) -> list[Stretch]:
    """The stretches of some lanes, in the order in which they are trained on.

    Args:
        found: a lane for each partition.
        size: rows of a stretch, at most.
        shuffled: whether each is trained on in an order of its own.
    """
    stretches = []
    for partition, lane in enumerate(found):
        for start in range(0, len(lane), size):
            stop = min(start + size, len(lane))
            batch = Batch(partition, _position(lane, start), _position(lane, stop - 1), shuffled)
            stretches.append(Stretch(batch, stop - start))
    return sorted(stretches, key=lambda one: (order(one.batch.first), one.batch.partition))


def _end(folders: Sequence[Path], partition: int) -> str:
    """The slower lane's end; one without files of its own has been as far as the other's files say."""
    rows, lessons = folders
    learnt = max(chain.end_of(rows, partition), chain.beside(lessons, partition), key=order)
    before = max(chain.end_of(lessons, partition), chain.beside(rows, partition), key=order)
    if before == START:  # a log from before there were lessons, or one that was compacted to the end
        return learnt
    return min(learnt, before, key=order)


def _segments(log: Path, app: str, first_day: str) -> list[Segment]:
    found = [one for dataset in DATASETS for one in view(dataset_folder(log, dataset, app)).segments]
    return [one for one in found if one.path.parent.name >= f"dt={first_day}"]


def _read(segment: Segment) -> tuple[Numbers, Numbers, Numbers]:
    """Partition, milliseconds and sequence of every row."""
    table = read(segment, ["partition", "position"])
    ms, sequence = keys_of(table["position"])
    return table["partition"].to_numpy().astype(np.int64), ms, sequence


def _lane(found: Sequence[tuple[Numbers, Numbers, Numbers]], partition: int, after: str, until: str) -> Lane:
    mine = [(ms[of == partition], sequence[of == partition]) for of, ms, sequence in found]
    ms = np.concatenate([np.empty(0, np.int64), *(one for one, _ in mine)])
    sequence = np.concatenate([np.empty(0, np.int64), *(one for _, one in mine)])
    (low_ms, low), (high_ms, high) = order(after), order(until)
    wanted = (ms > low_ms) | ((ms == low_ms) & (sequence > low)) if after != START else np.full(len(ms), True)
    wanted &= (ms < high_ms) | ((ms == high_ms) & (sequence <= high))
    ms, sequence = ms[wanted], sequence[wanted]
    places = np.lexsort((sequence, ms))
    ms, sequence = ms[places], sequence[places]
    anew = np.ones(len(ms), bool)  # slots of one decision have one position, and stay in one stretch
    anew[1:] = (np.diff(ms) != 0) | (np.diff(sequence) != 0)
    return Lane(ms[anew], sequence[anew])


def _position(lane: Lane, place: int) -> str:
    return f"{lane.ms[place]}-{lane.sequence[place]}"
