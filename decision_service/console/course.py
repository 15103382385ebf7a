"""The last hour and day, and the books: what takes milliseconds to find out, and is done now and then."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from functools import partial

from msgspec import Struct

from decision_service.bookkeeping import read_partition
from decision_service.console.policy_value import PolicyValue, policy_value
from decision_service.console.series import read_past
from decision_service.console.trends import Trend, trend
from decision_service.event_log import patiently
from sidecar.contracts.keys import Keys
from sidecar.contracts.store import AsyncScripts
from sidecar.contracts.traffic import MINUTE_MS, SLOT_MS, Traffic


class BooksView(Struct, frozen=True):
    """What is missing (positive) or doubled (negative): both are 0 where all is well."""

    decisions: int
    rewards: int


class Course(Struct, frozen=True):
    """As it was at a moment."""

    at_ms: int
    minutes: Mapping[int, Traffic]
    last_hour: Traffic
    today: PolicyValue | None
    yesterday: PolicyValue | None
    books: BooksView
    pending: int
    hour: Trend
    day: Trend


async def read_course(scripts: AsyncScripts, app: str, partitions: int, now_ms: int) -> Course:
    """As it is now.

    Raises:
        StoreAway: the store did not answer.
    """
    reads = [partial(read_partition, scripts, Keys(app, partition)) for partition in range(partitions)]
    past = await patiently(lambda: read_past(scripts, app, now_ms))
    kept = await asyncio.gather(*[patiently(read) for read in reads])
    traffic, earned, (yesterday, today) = past.traffic, past.earned, past.days
    return Course(
        at_ms=now_ms,
        minutes=traffic.minutes,
        last_hour=together(traffic.minutes.values()),
        today=policy_value(today),
        yesterday=policy_value(yesterday),
        books=BooksView(sum(one.books.decisions for one in kept), sum(one.books.rewards for one in kept)),
        pending=sum(one.pending for one in kept),
        hour=trend(traffic.minutes, earned.minutes, now_ms, MINUTE_MS, 60),
        day=trend(traffic.slots, earned.slots, now_ms, SLOT_MS, 144),
    )


def together(some: Iterable[Traffic]) -> Traffic:
    """All of them as one."""
    total = Traffic()
    for one in some:
        for source, count in one.sources.items():
            total.sources[source] = total.sources.get(source, 0) + count
        for edge_ms, count in one.times.items():
            total.times[edge_ms] = total.times.get(edge_ms, 0) + count
    return total
