"""How the whole platform is, from what its processes leave in the store: one look, however many there are."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from typing import cast

from msgspec import Struct

from decision_service.console.course import BooksView, Course, read_course
from decision_service.console.learner_view import LearnerView, learner_view
from decision_service.console.policy_value import PolicyValue
from decision_service.console.trends import Trend
from decision_service.event_log import patiently
from decision_service.tally import EXCLUDED
from sidecar.contracts import keys
from sidecar.contracts.application import Application
from sidecar.contracts.store import AsyncScripts
from sidecar.contracts.traffic import MINUTE_MS, Traffic, quantile_ms

_RATE_MS = 5_000
"""Services tell what they answered once a second: a rate is over some of them."""
_GONE_MS = 60_000
_COURSE_MS = 5_000


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
        self._course: Course | None = None
        self._seen: deque[tuple[int, int]] = deque()
        """Moments of the last seconds, and how many decisions there were."""

    async def look(self) -> OverviewView:
        """At this moment.

        Raises:
            StoreAway: the store did not answer.
        """
        now_ms, answers, status, services = await patiently(self._read)
        course = self._course
        if course is None or not 0 <= now_ms - course.at_ms < _COURSE_MS:
            course = self._course = await read_course(self._scripts, self._app, self._partitions, now_ms)
        last_hour, decisions = course.last_hour, answers.total() - answers[EXCLUDED]
        return OverviewView(
            application=self._app,
            at_ms=now_ms,
            decisions=decisions,
            per_s=self._per_s(now_ms, decisions, course.minutes),
            by_source=last_hour.sources,
            backstop_share=_share(last_hour, "fallback"),
            p50_ms=quantile_ms(last_hour.times, 0.5),
            p99_ms=quantile_ms(last_hour.times, 0.99),
            slow=last_hour.times.get(float("inf"), 0) * 100 > sum(last_hour.times.values()),
            deadline_ms=self._deadline_ms,
            reward=course.today,
            reward_before=course.yesterday,
            books=course.books,
            pending=course.pending,
            services=services,
            learner=learner_view(status, now_ms),
            hour=course.hour,
            day=course.day,
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


def _share(traffic: Traffic, source: str) -> float | None:
    return traffic.sources.get(source, 0) / traffic.decisions if traffic.decisions else None
