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

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, Generic, TypeVar

import msgspec

from decision_service.side_by_side import all_of
from decision_service.sources.errors import (
    BadSource,
    RowMissing,
    SourceError,
)
from decision_service.sources.made import Made, is_frozen
from decision_service.sources.readings import Found, Known
from decision_service.sources.rows import Key, check_parts, key_text, texts_of
from decision_service.sources.trips import Trips
from feature_graph import note
from sidecar.contracts.feature_table import TableName
from sidecar.contracts.store import connect_async, lines_of

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
        self._app = app
        self._tables: dict[str, Known] = {}
        self._trips = Trips(lines_of(client), self._known, max_batch=max_batch, in_flight=in_flight, few=FEW)

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
        found = await self._trips.put(table, keys)
        if isinstance(found, SourceError):
            raise type(found)(*found.args) from found.__cause__  # one each: a shared one collects tracebacks
        return found

    def _known(self, table: str) -> Known:
        known = self._tables.get(table)
        if known is None:
            known = self._tables[table] = Known(self._app, table)
        return known


class StoreTable(Generic[T]):
    """One table of the feature store; made by :meth:`FeatureStore.table`."""

    def __init__(self, store: FeatureStore, name: str, kind: type[T]) -> None:
        self._store = store
        self._kind = kind
        self._keeps = is_frozen(kind)
        self._made: Made[T] | None = None
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
        return self._made_of(found)[found.rows[text]]

    async def many(self, keys: Iterable[Key]) -> dict[Key, T]:
        """The rows that there are, by the keys as they were given; a key without a row is left out.

        Raises:
            As :meth:`get`, but for RowMissing.
        """
        wanted = tuple(keys)
        texts = texts_of(wanted)
        unique = tuple(dict.fromkeys(texts))
        if len(unique) <= MAX_KEYS:
            answers = [await self._store.ask(self.name, unique)] if unique else []
        else:
            starts = range(0, len(unique), MAX_KEYS)
            answers = await all_of([self._store.ask(self.name, unique[s : s + MAX_KEYS]) for s in starts])
        rows: dict[Key, T] = {}
        for found in answers:
            note(generation=found.record.generation)
            there, made = found.rows, self._made_of(found)
            rows.update({text: made[there[text]] for text in unique if text in there})
        for key in wanted[:1] if texts is wanted else wanted:  # plain texts are alike
            check_parts(key, len(answers[0].record.key))
        if texts is wanted:
            return rows
        return {key: rows[text] for key, text in zip(wanted, texts, strict=True) if text in rows}

    def _made_of(self, found: Found) -> Made[T]:
        """What is made of the rows of that generation."""
        if self._made is None or self._made.record is not found.record:
            self._made = Made(found.record, self._kind, keeps=self._keeps)
        return self._made


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
