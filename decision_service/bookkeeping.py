"""The books of all partitions, read at each scrape."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from decision_service.errors import StoreAway
from decision_service.event_log import patiently
from decision_service.telemetry import Telemetry
from sidecar.contracts.books import Books, books, clock_of, counters_of
from sidecar.contracts.keys import Keys
from sidecar.contracts.store import AsyncScripts


class Partition(NamedTuple):
    """One partition's books, and how many decisions wait in it."""

    books: Books
    pending: int
    clock_ms: int
    """The store's clock."""
    behind_ms: int
    """How far it is behind what it was before: it went back, and time stands still for so long."""


async def keep_books(
    telemetry: Telemetry, scripts: AsyncScripts, app: str, partitions: int, now_ms: Callable[[], int]
) -> None:
    """Bring the gauges up to date; a store that is away is a gauge too, not an error."""
    try:
        read = [await patiently(partial(read_partition, scripts, Keys(app, p))) for p in range(partitions)]
    except StoreAway:
        telemetry.balance(None, {})
        return
    telemetry.balance(
        {p: one.books for p, one in enumerate(read)}, {p: one.pending for p, one in enumerate(read)}
    )
    telemetry.clocks(read[-1].clock_ms - now_ms(), {p: one.behind_ms for p, one in enumerate(read)})


async def read_partition(scripts: AsyncScripts, keys: Keys) -> Partition:
    """At one moment of the store."""
    pipe = scripts.client.pipeline(transaction=True)
    pipe.hgetall(keys.counters)
    pipe.zcard(keys.due)
    pipe.zcard(keys.orphans)
    pipe.time()
    pipe.get(keys.skew)
    counters, pending, awaited, (seconds, micros), skew_ms = await pipe.execute()
    clock_ms = seconds * 1000 + micros // 1000
    behind_ms = clock_of(counters.get(b"clock_ms")) - clock_ms - int(skew_ms or 0)
    balance = books(counters_of(counters), pending, awaited)
    return Partition(balance, pending, clock_ms, max(behind_ms, 0))
