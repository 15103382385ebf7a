"""What a round trip asks of one table, and what its replies say.

Beside its rows a table's record is read (which generation is current): rows count only where the record is
still the one by which they were asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from decision_service.sources.errors import (
    BadAnswer,
    SourceAway,
    SourceError,
    SourceRefused,
    TableNotLoaded,
)
from sidecar.contracts.errors import BadEvent
from sidecar.contracts.feature_table import TableRecord, decode_record, slot_of
from sidecar.contracts.keys import FeatureKeys
from sidecar.contracts.lines import Command
from sidecar.contracts.store import is_passing


class Found(NamedTuple):
    """What one round trip found in one table, for everybody who asked."""

    record: TableRecord
    rows: Mapping[str, bytes]


class Known:
    """What is known of one table: its record as it was last seen, and how it is asked."""

    __slots__ = ("_get", "_keys", "_rows", "data", "record", "table")

    def __init__(self, app: str, table: str) -> None:
        self.table = table
        self._keys = FeatureKeys(app, table)
        self._get: Command = ("GET", self._keys.record)
        self._rows: dict[int, str] = {}
        self.data = b""
        self.record: TableRecord | None = None

    def reading(self, keys: Sequence[str]) -> Reading:
        """Its record, and the rows under ``keys``, if it is known where they lie."""
        by_slot = {} if self.record is None else _by_slot(keys, self.record.slots)
        rows: list[Command] = [("HMGET", self._rows_of(slot), *some) for slot, some in by_slot.items()]
        return Reading(self, self.data, self.record, by_slot, [self._get, *rows])

    def _rows_of(self, slot: int) -> str:
        key = self._rows.get(slot)
        if key is None:
            assert self.record is not None
            key = self._rows[slot] = self._keys.rows(self.record.generation, slot)
        return key

    def see(self, data: bytes) -> None:
        """Another record.

        Raises:
            BadEvent: it is none.
        """
        self.data, self.record, self._rows = data, decode_record(data), {}

    def forget(self) -> None:
        """There is no such table."""
        self.data, self.record, self._rows = b"", None, {}


class Reading(NamedTuple):
    """What one round trip asks of one table."""

    known: Known
    data: bytes
    """The record as it was last seen."""
    record: TableRecord | None
    by_slot: Mapping[int, Sequence[str]]
    commands: list[Command]


def _by_slot(keys: Sequence[str], slots: int) -> Mapping[int, Sequence[str]]:
    if slots == 1:
        return {0: keys} if keys else {}
    found: dict[int, list[str]] = {}
    for key in keys:
        found.setdefault(slot_of(key, slots), []).append(key)
    return found


def read_all(readings: Iterable[Reading], replies: list[Any]) -> dict[str, Found | SourceError]:
    """What the replies to all commands say, by table; one whose record has changed is left out."""
    found: dict[str, Found | SourceError] = {}
    at = 0
    for reading in readings:
        end = at + len(reading.commands)
        one = _read(reading, replies[at], replies[at + 1 : end])
        if one is not None:
            found[reading.known.table] = one
        at = end
    return found


def _read(reading: Reading, data: object, slots: list[Any]) -> Found | SourceError | None:
    """What a table's replies say; None: it has changed."""
    record = reading.record
    for reply in (data, *slots):
        if isinstance(reply, Exception):
            return failure(reply, f"the table {reading.known.table!r}")
    if data != reading.data or record is None:
        return _changed(reading.known, data)
    lots = zip(reading.by_slot.values(), slots, strict=True)
    return Found(
        record,
        {key: row for keys, rows in lots for key, row in zip(keys, rows, strict=True) if row is not None},
    )


def _changed(known: Known, data: object) -> SourceError | None:
    """What is wrong with another record than was known; None: nothing, it can be asked by."""
    if not isinstance(data, bytes):
        known.forget()
        return TableNotLoaded(f"the feature store has no table {known.table!r}: `sidearm features load` it")
    try:
        known.see(data)
    except BadEvent as error:
        return BadAnswer(str(error))
    return None


def failure(error: Exception, what: str) -> SourceError:
    """What an error of the store's client is to who asked ``what``."""
    kind = SourceAway if is_passing(error) else SourceRefused
    said = kind(f"{what}: {type(error).__name__}: {error}")
    said.__cause__ = error
    return said
