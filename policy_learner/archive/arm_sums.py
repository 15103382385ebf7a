"""What the arms in a file of decisions earned, told to the store, where pages read it: see the contract.

A file's table is grouped in numpy: 10,000 rows take a few milliseconds, a thousandth of what it took to make
them. Nothing waits for these figures: a store that is away is told later, one that refuses is told nothing.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import redis

from sidecar.contracts.arm_sums import GRAINS, OTHERS, Grain, field_of
from sidecar.contracts.scripts.call import Call, script_text
from sidecar.contracts.scripts.sums import Numbers, Part, sums_call
from sidecar.contracts.store import StoreError

_MOST_WAITING = 512
_US = 1000  # microseconds of a millisecond

log = logging.getLogger("sidearm.learner")
Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]
CallOf = Callable[[int, str, pa.Table], Call | None]
"""Partition, position of its last row, and rows of a file to what is told of it: a call of ``sums``."""


class ArmCounts:
    """Tells the sums of files, in the order in which they are written.

    Args:
        client: of the store.
        app: the application.
        also: makes what else is told of a file; None: nothing.
    """

    def __init__(self, client: redis.Redis, app: str, also: CallOf = lambda *_: None) -> None:
        self._script, self._app, self._also = client.register_script(script_text("sums")), app, also
        self._waiting: deque[Call] = deque(maxlen=_MOST_WAITING)
        self._complaint = ""

    def note(self, partition: int, position: str, table: pa.Table) -> None:
        """A file was written; ``position`` is that of its last row."""
        made = call_of(self._app, partition, position, table), self._also(partition, position, table)
        self._waiting += [call for call in made if call is not None]

    def tell(self) -> None:
        """Tell the store what waits. Told twice it counts once; what is refused holds up nothing."""
        refused = ""
        try:
            while self._waiting:
                refused = self._run(self._waiting[0]) or refused
                self._waiting.popleft()
        except StoreError as error:
            refused = f"what arms earned is told later: {error}"
        self._complain(refused)

    def _run(self, call: Call) -> str:
        """Why the store refuses; empty if it does not."""
        try:
            self._script(keys=call.keys, args=call.args)
        except redis.ResponseError as error:
            return f"what arms earned is not added up: {error}"
        return ""

    def _complain(self, line: str) -> None:
        if line and line != self._complaint:
            log.warning("%s", line)
        self._complaint = line


def call_of(app: str, partition: int, position: str, table: pa.Table) -> Call | None:
    """What to add for a file of one day; None: nobody saw any of its decisions."""
    unseen = pc.equal(table["activated"], pa.scalar(False))
    seen = table.filter(pc.invert(pc.fill_null(unseen, False))) if pc.any(unseen).as_py() else table
    if not seen.num_rows:
        return None
    at_ms = np.asarray(seen["finalised_at"].cast(pa.int64())) // _US
    columns, codes, fields = _columns(seen), *_codes(seen)
    parts = [part for grain in GRAINS for part in _parts(grain, at_ms, columns, codes, fields)]
    return sums_call(app, partition, position, parts)


def _parts(grain: Grain, at_ms: Codes, columns: Floats, codes: Codes, fields: list[str]) -> Iterator[Part]:
    """The sums of each part of time that is still kept when the last of the rows is counted."""
    number_of = at_ms // grain.ms
    newest = int(number_of.max())
    if int(number_of.min()) == newest:
        yield Part(grain, newest, _sums(columns, codes, fields, grain.of_a_file))
        return
    for number in np.unique(number_of[number_of > newest - grain.kept]):
        own = number_of == number
        yield Part(grain, int(number), _sums(columns[:, own], codes[own], fields, grain.of_a_file))


def _codes(table: pa.Table) -> tuple[Codes, list[str]]:
    """For each row the place of its arm and segment in a list of fields."""
    (arms, arm_of), (segments, segment_of) = (_levels(table[name]) for name in ("arm", "segment"))
    pairs, codes = np.unique(arm_of * len(segments) + segment_of, return_inverse=True)
    fields = [field_of(arms[pair // len(segments)], segments[pair % len(segments)]) for pair in pairs]
    return codes.reshape(-1), fields


def _levels(column: pa.ChunkedArray) -> tuple[list[str], Codes]:
    found: Any = pc.dictionary_encode(pc.fill_null(column, "").combine_chunks())  # an array of one chunk
    return found.dictionary.to_pylist(), np.asarray(found.indices).astype(np.int64)


def _columns(table: pa.Table) -> Floats:
    """The terms of every sum, a row of numbers each, in the order of their names."""
    reward, propensity, inclusion, own = (
        np.asarray(pc.fill_null(table[name], 0)).astype(np.float64)
        for name in ("reward", "propensity", "inclusion_probability", "reward_source_n")
    )
    known = np.asarray(pc.is_valid(table["reward"])) & (inclusion > 0.0)
    drawn = known & (propensity > 0.0) & ~np.asarray(table["deterministic"])
    s = np.divide(1.0, inclusion, out=np.zeros(len(reward)), where=known)
    w = np.divide(s, propensity, out=np.zeros(len(reward)), where=drawn)
    ones, sr, wr = np.ones(len(reward)), s * reward, w * reward
    return np.stack([ones, own > 0, s, sr, s * s, s * sr, sr * sr, w, wr, w * w, w * wr, wr * wr])


def _sums(columns: Floats, codes: Codes, fields: list[str], most: int) -> Numbers:
    """Field to its sums: the busiest apart, the rest together."""
    counts = np.bincount(codes, minlength=len(fields))
    sums = np.stack([np.bincount(codes, column, len(fields)) for column in columns], axis=1)
    places = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)]
    found = {fields[place]: sums[place].tolist() for place in places[:most]}
    if len(places) > most:
        found[OTHERS] = sums[places[most:]].sum(axis=0).tolist()
    return found
