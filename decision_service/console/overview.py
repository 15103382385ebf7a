"""How the whole platform is, from what its processes leave in the store: one look, however many there are."""

from __future__ import annotations

import asyncio
from collections import Counter
from functools import partial
from typing import cast

from msgspec import Struct

from decision_service.bookkeeping import read_partition
from decision_service.event_log import patiently
from decision_service.service import Service
from decision_service.tally import EXCLUDED
from sidecar.contracts import keys
from sidecar.contracts.keys import Keys

_SILENT_MS = 5_000
"""The learner writes its status every second."""


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
    examples: int
    error: str
    """Empty while all is well."""


class OverviewView(Struct, frozen=True):
    """The page's data."""

    application: str
    at_ms: int
    """The store's clock."""
    decisions: int
    """Answered since the store was made, by all replicas."""
    by_source: dict[str, int]
    """The same by who answered."""
    backstop_share: float | None
    books: BooksView
    pending: int
    """Decisions that wait for the end of their horizon."""
    learner: LearnerView


class Overview:
    """Looks; belongs to one event loop."""

    def __init__(self, service: Service) -> None:
        self._app, self._partitions = service.application.name, service.application.partitions
        self._scripts = service.scripts

    async def look(self) -> OverviewView:
        """At this moment.

        Raises:
            StoreAway: the store did not answer.
        """
        now_ms, answers, status = await patiently(self._read)
        reads = [patiently(partial(read_partition, self._scripts, keys)) for keys in self._keys()]
        partitions = await asyncio.gather(*reads)
        decisions = answers.total() - answers[EXCLUDED]
        return OverviewView(
            application=self._app,
            at_ms=now_ms,
            decisions=decisions,
            by_source={source: count for source, count in answers.items() if source != EXCLUDED},
            backstop_share=answers["fallback"] / decisions if decisions else None,
            books=BooksView(
                sum(one.books.decisions for one in partitions), sum(one.books.rewards for one in partitions)
            ),
            pending=sum(one.pending for one in partitions),
            learner=_learner(status, now_ms),
        )

    def _keys(self) -> list[Keys]:
        return [Keys(self._app, partition) for partition in range(self._partitions)]

    async def _read(self) -> tuple[int, Counter[str], dict[str, str]]:
        pipe = self._scripts.client.pipeline(transaction=False)
        pipe.time()
        pipe.hgetall(keys.answers(self._app))
        pipe.hgetall(keys.learner_status(self._app))
        (seconds, micros), told, status = await pipe.execute()
        answers = Counter({name.decode(): int(count) for name, count in told.items()})
        said = cast("dict[bytes, bytes]", status)
        return (
            seconds * 1000 + micros // 1000,
            answers,
            {name.decode(): value.decode(errors="replace") for name, value in said.items()},
        )


def _learner(status: dict[str, str], now_ms: int) -> LearnerView:
    if not status:
        return LearnerView("none", 0, None, None, 0, "")
    age_ms, said = now_ms - int(status.get("at_ms", 0)), status.get("state", "")
    version = int(status.get("version", 0))
    return LearnerView(
        state="silent" if said == "running" and age_ms > _SILENT_MS else said,
        version=version,
        weights_age_ms=int(status.get("age_ms", 0)) + max(age_ms, 0) if version else None,
        lag_ms=int(status.get("lag_ms", 0)),
        examples=int(status.get("examples", 0)),
        error=status.get("last_error", ""),
    )
