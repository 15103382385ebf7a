"""The feature store as a source: tables loaded with ``sidearm features load``, read by key.

In an application's ``features.py``::

    class Customer(msgspec.Struct):
        segment: str
        orders: int = 0

    @fetch(timeout=0.02, fallback=Customer("guest"))
    async def customer(unit_id: str, customers: StoreTable[Customer]) -> Customer:
        return await customers.get(unit_id)

    @batch(max=500, timeout=0.02)
    async def stocks(ids: Sequence[str], products: StoreTable[Stock]) -> Mapping[str, Stock]:
        return await products.many(ids)

    @asynccontextmanager
    async def clients(around: Surroundings):
        async with open_feature_store(around.feature_store_url, around.application) as features:
            yield {"customers": features.table("customers", Customer)}

Whatever concurrent requests ask, of whichever tables, while a round trip is away is the next round trip: one
pipeline, in it one command a table and slot, each key once. Beside its rows a trip reads each table's record
(which generation is current), so that a table that was loaded anew is seen by the very next question, and a
question that met the change is asked again, within the same call.

A generation's rows lie in hashes, by slot: a batch is one ``HMGET`` where single keys would be an ``MGET``,
at the same cost, but a generation has one expiry, is counted before it is shown, and goes away in one step.
On a cluster each slot has a hash tag of its own, so that a table spreads over the nodes; a tag a key would
make every key its own command, and one tag for all would keep a table on one node for ever.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from decision_service.batcher import Batcher
from decision_service.side_by_side import all_of
from decision_service.sources.errors import (
    BadAnswer,
    BadSource,
    RowMissing,
    SourceAway,
    SourceError,
    SourceRefused,
    TableNotLoaded,
)
from decision_service.sources.rows import Key, check_parts, key_text, typed
from feature_graph import note
from sidecar.contracts.errors import BadEvent
from sidecar.contracts.feature_table import TableName, TableRecord, decode_record, decode_row, slot_of
from sidecar.contracts.keys import FeatureKeys
from sidecar.contracts.lines import Command
from sidecar.contracts.store import StoreError, connect_async, is_passing, lines_of

T = TypeVar("T")

TIMEOUT_S = 0.1
"""Of one round trip. Reads of features are no reason to keep a request waiting as long as a durable write."""
FEW = 8
"""Questions that are not worth gathering: one of a request waits for no trip of another one."""
MAX_BATCH = 256
"""Questions in one round trip."""
IN_FLIGHT = 2
"""Round trips at once: of two batches of requests on their way, neither waits for the other's trip."""
MAX_KEYS = 1_000
"""Keys in one question; more of them are several questions."""
ROWS_MADE = 4_096
"""Rows of a frozen type that a table keeps as they were made: some megabytes."""
_TRIES = 3
"""A table's record may change under a question; three loads within one are somebody's accident."""


class Found(NamedTuple):
    """What one round trip found in one table, for everybody who asked."""

    record: TableRecord
    rows: Mapping[str, bytes]


class _Question(NamedTuple):
    table: str
    keys: tuple[str, ...]


class FeatureStore:
    """The tables of one application; belongs to one event loop. Made by :func:`open_feature_store`.

    Args:
        client: asked for nothing else.
        app: whose tables.
        max_batch: most questions of one round trip.
        in_flight: round trips under way at once.
    """

    def __init__(
        self,
        client: Any,  # noqa: ANN401 - only sidecar/contracts/store.py knows the store's client library
        app: str,
        *,
        max_batch: int = MAX_BATCH,
        in_flight: int = IN_FLIGHT,
    ) -> None:
        self._lines = lines_of(client)
        self._app = app
        self._records: dict[str, tuple[bytes, TableRecord]] = {}
        self._batcher: Batcher[_Question, Found | SourceError] = Batcher(
            self._answer, max_batch=max_batch, in_flight=in_flight, few=FEW
        )

    def table(self, name: str, kind: type[T]) -> StoreTable[T]:
        """The table of that name, its rows as ``kind`` (``dict`` takes them as they are); need not be loaded.

        Raises:
            BadSource: it can be no table's name.
        """
        return StoreTable(self, checked_name(name), kind)

    async def ask(self, table: str, keys: tuple[str, ...]) -> Found:
        """What the table holds of ``keys``, which may be found among what others asked for.

        Raises:
            SourceAway: the store does not answer.
            SourceRefused: it will not.
            TableNotLoaded: it has no such table.
            BadAnswer: what it holds is no table.
        """
        found = await self._batcher.ask(_Question(table, keys))
        if isinstance(found, SourceError):
            raise type(found)(*found.args) from found.__cause__  # one each: a shared one collects tracebacks
        return found

    async def _answer(self, questions: Sequence[_Question]) -> list[Found | SourceError]:
        wanted: dict[str, dict[str, None]] = {}
        for table, keys in questions:
            wanted.setdefault(table, {}).update(dict.fromkeys(keys))
        found = await self._found({table: tuple(keys) for table, keys in wanted.items()})
        return [found[table] for table, _ in questions]

    async def _found(self, wanted: Mapping[str, tuple[str, ...]]) -> dict[str, Found | SourceError]:
        found: dict[str, Found | SourceError] = {}
        for _ in range(_TRIES):
            again = {table: keys for table, keys in wanted.items() if table not in found}
            if not again:
                return found
            try:
                found |= await self._round_trip(again)
            except (StoreError, OSError) as error:
                return found | dict.fromkeys(again, _failure(error, "the feature store"))
        changing = SourceAway("the table was loaded anew again and again while it was asked")
        return dict.fromkeys(wanted, changing) | found

    async def _round_trip(self, wanted: Mapping[str, tuple[str, ...]]) -> dict[str, Found | SourceError]:
        """One pipeline; tables whose record has changed since the last one are left out of the answer."""
        asked = [self._asked(table, keys) for table, keys in wanted.items()]
        commands: list[Command] = []
        for reading in asked:
            commands.append(("GET", reading.keys.record))
            for slot, fields in reading.by_slot.items():
                assert reading.record is not None
                commands.append(("HMGET", reading.keys.rows(reading.record.generation, slot), *fields))
        replies = iter(await self._lines.talk(commands))
        answers = ((reading, next(replies), [next(replies) for _ in reading.by_slot]) for reading in asked)
        found = {reading.keys.table: self._read(reading, data, rows) for reading, data, rows in answers}
        return {table: one for table, one in found.items() if one is not None}

    def _asked(self, table: str, keys: tuple[str, ...]) -> _Reading:
        known = self._records.get(table)
        if known is None:
            return _Reading(FeatureKeys(self._app, table), b"", None, {})
        by_slot: dict[int, list[str]] = {}
        for key in keys:
            by_slot.setdefault(slot_of(key, known[1].slots), []).append(key)
        return _Reading(FeatureKeys(self._app, table), known[0], known[1], by_slot)

    def _read(self, reading: _Reading, data: object, slots: list[Any]) -> Found | SourceError | None:
        table = reading.keys.table
        if failed := next((reply for reply in (data, *slots) if isinstance(reply, Exception)), None):
            return _failure(failed, f"the table {table!r}")
        if not isinstance(data, bytes):
            self._records.pop(table, None)
            return TableNotLoaded(f"the feature store has no table {table!r}: `sidearm features load` it")
        if data != reading.data:
            try:
                self._records[table] = data, decode_record(data)
            except BadEvent as error:
                return BadAnswer(str(error))
            return None
        assert reading.record is not None
        pairs = zip(reading.by_slot.values(), slots, strict=True)
        rows = {
            key: row
            for keys, values in pairs
            for key, row in zip(keys, values, strict=True)
            if row is not None
        }
        return Found(reading.record, rows)


class _Reading(NamedTuple):
    """What one round trip asks of one table."""

    keys: FeatureKeys
    data: bytes
    """The record as it was last seen."""
    record: TableRecord | None
    by_slot: Mapping[int, list[str]]


class StoreTable(Generic[T]):
    """One table of the feature store; made by :meth:`FeatureStore.table`."""

    def __init__(self, store: FeatureStore, name: str, kind: type[T]) -> None:
        self._store = store
        self._kind = kind
        self._made: dict[tuple[str, bytes], T] | None = {} if _is_frozen(kind) else None
        self.name = name

    async def get(self, key: Key) -> T:
        """The row under ``key``.

        Raises:
            RowMissing: there is none.
            BadKey: ``key`` is no key of this table.
            SourceAway: the store does not answer; asking again may help.
            SourceRefused: it will not answer.
            TableNotLoaded: it has no such table.
            BadAnswer: the row is not of the type.
        """
        text = key_text(key)
        found = await self._store.ask(self.name, (text,))
        note(generation=found.record.generation)
        check_parts(key, len(found.record.key))
        if text not in found.rows:
            raise RowMissing(f"the table {self.name!r} has no row for that key")
        return self._row(found, text)

    async def many(self, keys: Iterable[Key]) -> dict[Key, T]:
        """The rows that there are, by the keys as they were given; a key without a row is left out.

        Raises:
            As :meth:`get`, but for RowMissing.
        """
        texts = {key: key_text(key) for key in keys}
        unique = tuple(dict.fromkeys(texts.values()))
        parts = [unique[start : start + MAX_KEYS] for start in range(0, len(unique), MAX_KEYS)]
        answers = await all_of([self._store.ask(self.name, part) for part in parts])
        rows: dict[str, T] = {}
        for key in texts if answers else ():
            check_parts(key, len(answers[0].record.key))
        for part, found in zip(parts, answers, strict=True):
            note(generation=found.record.generation)
            rows |= {text: self._row(found, text) for text in part if text in found.rows}
        return {key: rows[text] for key, text in texts.items() if text in rows}

    def _row(self, found: Found, text: str) -> T:
        """What nobody can change is made of the same bytes once."""
        data = found.rows[text]
        if self._made is None:
            return self._read(found, data)
        known = found.record.generation, data
        row = self._made.get(known)
        if row is None:
            if len(self._made) >= ROWS_MADE:
                self._made.clear()
            row = self._made[known] = self._read(found, data)
        return row

    def _read(self, found: Found, data: bytes) -> T:
        try:
            row = decode_row(found.record, data)
        except BadEvent as error:
            raise BadAnswer(str(error)) from error
        return typed(row, self._kind, f"the table {self.name!r}")


@asynccontextmanager
async def open_feature_store(
    url: str,
    app: str,
    *,
    timeout_s: float = TIMEOUT_S,
    max_batch: int = MAX_BATCH,
    in_flight: int = IN_FLIGHT,
) -> AsyncIterator[FeatureStore]:
    """The tables of ``app`` in the store at ``url``, until the block ends. It need not be there yet.

    It has a client of its own, so that a slow read of features never keeps a decision from being logged.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://``.
        app: the application's name.
        timeout_s: of one round trip; nothing is repeated below the graph, which knows how much time is left.
        max_batch: most questions of one round trip.
        in_flight: round trips under way at once.

    Raises:
        BadSettings: ``url`` is no address of a store.
        BadSource: a number is not above 0.
    """
    if not timeout_s > 0 or max_batch < 1 or in_flight < 1:
        raise BadSource("the feature store: timeout_s, max_batch and in_flight must be above 0")
    client = connect_async(url, timeout_s=timeout_s, max_connections=in_flight + 1)
    try:
        yield FeatureStore(client, app, max_batch=max_batch, in_flight=in_flight)
    finally:
        await client.aclose()


def _is_frozen(kind: type) -> bool:
    return issubclass(kind, msgspec.Struct) and bool(kind.__struct_config__.frozen)


def checked_name(name: str) -> str:
    """``name``, if it can be a table's.

    Raises:
        BadSource: it cannot.
    """
    try:
        return msgspec.convert(name, TableName)
    except msgspec.ValidationError:
        raise BadSource(
            f"{name!r} is no name of a table: at most 63 of a-z, 0-9 and _, a letter first"
        ) from None


def _failure(error: Exception, what: str) -> SourceError:
    kind = SourceAway if is_passing(error) else SourceRefused
    failure = kind(f"{what}: {type(error).__name__}: {error}")
    failure.__cause__ = error
    return failure
