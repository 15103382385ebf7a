"""How the whole platform is, from what its processes leave in the store: one look, however many there are."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from functools import partial
from typing import cast

from msgspec import Struct

from decision_service.bookkeeping import Partition, read_partition
from decision_service.console.policy_value import PolicyValue, policy_value
from decision_service.console.series import Keeper
from decision_service.console.trends import Trend, trend
from decision_service.event_log import patiently
from decision_service.tally import EXCLUDED
from sidecar.contracts import keys
from sidecar.contracts.application import Application
from sidecar.contracts.keys import Keys
from sidecar.contracts.store import AsyncScripts
from sidecar.contracts.traffic import MINUTE_MS, SLOT_MS, Traffic, quantile_ms

_SILENT_MS = 5_000
"""The learner writes its status every second."""
_RATE_MS = 5_000
"""Services tell what they answered once a second: a rate is over some of them."""
_GONE_MS = 60_000


class BooksView(Struct, frozen=True):
    """What is missing (positive) or doubled (negative): both are 0 where all is well."""

    decisions: int
    rewards: int


class LearnerView(Struct, frozen=True):
    """The learner, as it said last."""

    state: str
    """``running``, ``stopped``, ``silent`` or ``none``: none ever ran."""
    version: int
    """Of the weights that stand; 0: none were published."""
    weights_age_ms: int | None
    """Since they were published."""
    lag_ms: int | None
    """Age of the oldest due decision that no published version has seen."""
    examples: int
    examples_per_s: float | None
    error: str
    """Empty while all is well."""


class OverviewView(Struct, frozen=True):
    """The page's data."""

    application: str
    at_ms: int
    """The store's clock."""
    decisions: int
    """Answered since the store was made, by all replicas."""
    per_s: float | None
    """Over the last seconds."""
    by_source: dict[str, int]
    """Decisions of the last hour by who answered."""
    backstop_share: float | None
    """Of the last hour, and so are the next."""
    p50_ms: float | None
    p99_ms: float | None
    slow: bool
    """More than one in a hundred took longer than the longest range: a second."""
    deadline_ms: int
    """By when answers are to be there."""
    reward: PolicyValue | None
    """Today, UTC; null: nothing is in the log of today yet."""
    reward_before: PolicyValue | None
    """Yesterday."""
    books: BooksView
    pending: int
    """Decisions that wait for the end of their horizon."""
    services: int
    """Replicas and workers that decide."""
    learner: LearnerView
    hour: Trend
    """By the minute."""
    day: Trend
    """By ten minutes."""


class Overview:
    """Looks; belongs to one event loop.

    Args:
        scripts: on the store.
        application: its name and its partitions.
        deadline_ms: by when its answers are to be there.
    """

    def __init__(self, scripts: AsyncScripts, application: Application, deadline_ms: int) -> None:
        self._app, self._partitions = application.name, application.partitions
        self._scripts, self._deadline_ms = scripts, deadline_ms
        self._keeper = Keeper(scripts, application.name)
        self._seen: deque[tuple[int, int]] = deque()
        """Moments of the last seconds, and how many decisions there were."""

    async def look(self) -> OverviewView:
        """At this moment.

        Raises:
            StoreAway: the store did not answer.
        """
        now_ms, answers, status, services = await patiently(self._read)
        past, partitions = await asyncio.gather(self._keeper.look(now_ms), self._books())
        yesterday, today = past.days
        last_hour = _together(past.traffic.minutes.values())
        told = sum(last_hour.times.values())
        p99_ms = quantile_ms(last_hour.times, 0.99)
        return OverviewView(
            application=self._app,
            at_ms=now_ms,
            decisions=answers.total() - answers[EXCLUDED],
            per_s=self._per_s(now_ms, answers.total() - answers[EXCLUDED], past.traffic.minutes),
            by_source=last_hour.sources,
            backstop_share=_share(last_hour, "fallback"),
            p50_ms=quantile_ms(last_hour.times, 0.5),
            p99_ms=p99_ms,
            slow=bool(told) and p99_ms is None,
            deadline_ms=self._deadline_ms,
            reward=policy_value(today),
            reward_before=policy_value(yesterday),
            books=BooksView(
                sum(one.books.decisions for one in partitions), sum(one.books.rewards for one in partitions)
            ),
            pending=sum(one.pending for one in partitions),
            services=services,
            learner=_learner(status, now_ms),
            hour=trend(past.traffic.minutes, past.earned.minutes, now_ms, MINUTE_MS, 60),
            day=trend(past.traffic.slots, past.earned.slots, now_ms, SLOT_MS, 144),
        )

    async def _books(self) -> list[Partition]:
        places = [Keys(self._app, partition) for partition in range(self._partitions)]
        return await asyncio.gather(
            *[patiently(partial(read_partition, self._scripts, one)) for one in places]
        )

    def _per_s(self, now_ms: int, decisions: int, minutes: Mapping[int, Traffic]) -> float | None:
        """Over the last seconds if somebody looked then; else of the minute before, or of this one."""
        seen = self._seen
        seen.append((now_ms, decisions))
        while len(seen) > 2 and seen[1][0] <= now_ms - _RATE_MS:
            seen.popleft()
        then_ms, before = seen[0]
        if _RATE_MS <= now_ms - then_ms < 4 * _RATE_MS and decisions >= before:
            return (decisions - before) * 1000 / (now_ms - then_ms)
        this, last = (minutes.get(now_ms // MINUTE_MS - ago) for ago in (0, 1))
        if last is not None:
            return last.decisions * 1000 / MINUTE_MS
        return this.decisions * 1000 / max(now_ms % MINUTE_MS, 1000) if this else None

    async def _read(self) -> tuple[int, Counter[str], dict[str, str], int]:
        pipe = self._scripts.client.pipeline(transaction=False)
        pipe.time()
        pipe.hgetall(keys.answers(self._app))
        pipe.hgetall(keys.learner_status(self._app))
        pipe.hgetall(keys.arms_serving(self._app))
        (seconds, micros), told, said, serving = await pipe.execute()
        now_ms = seconds * 1000 + micros // 1000
        answers = Counter({name.decode(): int(count) for name, count in told.items()})
        status = {name.decode(): value.decode(errors="replace") for name, value in said.items()}
        return now_ms, answers, status, _at_work(cast("dict[bytes, bytes]", serving), now_ms)


def _at_work(serving: dict[bytes, bytes], now_ms: int) -> int:
    """Services that said lately which arms they have."""
    told = [int(word.partition(b"|")[0] or 0) for word in serving.values()]
    return sum(now_ms - at_ms < _GONE_MS for at_ms in told)


def _together(some: Iterable[Traffic]) -> Traffic:
    total = Traffic()
    for one in some:
        for source, count in one.sources.items():
            total.sources[source] = total.sources.get(source, 0) + count
        for edge_ms, count in one.times.items():
            total.times[edge_ms] = total.times.get(edge_ms, 0) + count
    return total


def _share(traffic: Traffic, source: str) -> float | None:
    return traffic.sources.get(source, 0) / traffic.decisions if traffic.decisions else None


def _learner(status: dict[str, str], now_ms: int) -> LearnerView:
    if not status:
        return LearnerView("none", 0, None, None, 0, None, "")
    age_ms, said = now_ms - int(status.get("at_ms", 0)), status.get("state", "")
    version = int(status.get("version", 0))
    return LearnerView(
        state="silent" if said == "running" and age_ms > _SILENT_MS else said,
        version=version,
        weights_age_ms=int(status.get("age_ms", 0)) + max(age_ms, 0) if version else None,
        lag_ms=int(status.get("lag_ms", 0)),
        examples=int(status.get("examples", 0)),
        examples_per_s=float(status.get("examples_per_s", 0.0)),
        error=status.get("last_error", ""),
    )
