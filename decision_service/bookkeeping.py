"""The books of all partitions, read at each scrape."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from decision_service.errors import StoreAway
from decision_service.event_log import patiently
from decision_service.telemetry import Telemetry
from sidecar.contracts.books import Books, books, counters_of
from sidecar.contracts.keys import Keys
from sidecar.contracts.store import AsyncScripts


class Partition(NamedTuple):
    """One partition's books, and how many decisions wait in it."""

    books: Books
    pending: int


async def keep_books(telemetry: Telemetry, scripts: AsyncScripts, app: str, partitions: int) -> None:
    """Bring the gauges up to date; a store that is away is a gauge too, not an error."""
    try:
        read = [await patiently(partial(_read, scripts, Keys(app, p))) for p in range(partitions)]
    except StoreAway:
        telemetry.balance(None, {})
        return
    telemetry.balance(
        {p: one.books for p, one in enumerate(read)}, {p: one.pending for p, one in enumerate(read)}
    )


async def _read(scripts: AsyncScripts, keys: Keys) -> Partition:
    """At one moment of the store."""
    pipe = scripts.client.pipeline(transaction=True)
    pipe.hgetall(keys.counters)
    pipe.zcard(keys.due)
    pipe.zcard(keys.orphans)
    counters, pending, awaited = await pipe.execute()
    return Partition(books(counters_of(counters), pending, awaited), pending)
