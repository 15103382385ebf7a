"""The event log: a decision is in the store before anybody hears of it.

Decisions of one partition that come together share one script call, one round trip and one fsync. The script
recognises what it has seen, so a call whose reply was lost is sent once more.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

from redis.exceptions import ConnectionError as StoreConnectionError
from redis.exceptions import OutOfMemoryError
from redis.exceptions import TimeoutError as StoreTimeoutError

from decision_service.batcher import Batcher
from decision_service.errors import StoreAway
from sidecar.contracts import journal
from sidecar.contracts.application import Application
from sidecar.contracts.events import DecisionEvent
from sidecar.contracts.ids import partition_of_session
from sidecar.contracts.keys import Keys
from sidecar.contracts.scripts.decide import Decided, DecideEntry, DecideStatus, entry_of
from sidecar.contracts.store import AsyncScripts, StoreError

T = TypeVar("T")


class EventLog:
    """Logs decisions of one application; belongs to one event loop.

    Args:
        scripts: on the store.
        application: how many partitions, how long decisions are remembered, how many may be pending, and in
            which mode they are joined.
        max_batch: most decisions in one script call.
    """

    def __init__(self, scripts: AsyncScripts, application: Application, max_batch: int) -> None:
        self._scripts = scripts
        self._partitions = application.partitions
        self._max_pending = application.model.max_pending
        self._tombstone_ms = round(application.reward.tombstone_s * 1000)
        self._mode = application.reward.mode
        self._batchers = [
            Batcher(partial(self._log, Keys(application.name, p)), max_batch=max_batch)
            for p in range(application.partitions)
        ]

    async def append(self, event: DecisionEvent, logged: bool = True) -> Decided:
        """Log ``event``; when its key was used before, the decision that stands.

        Args:
            event: the decision.
            logged: False: only look whether its key was used before.

        Raises:
            StoreAway: it could not be logged.
        """
        partition = partition_of_session(event.session_id, self._partitions)
        return await self._batchers[partition].ask(entry_of(event, self._mode, logged))

    async def _log(self, keys: Keys, entries: Sequence[DecideEntry]) -> list[Decided]:
        return await patiently(partial(self._decide, keys, entries))

    async def _decide(self, keys: Keys, entries: Sequence[DecideEntry]) -> list[Decided]:
        """A store at its memory limit refuses the whole batch: its decisions are shed, not failed."""
        limits = {"max_pending": self._max_pending, "tombstone_ms": self._tombstone_ms}
        try:
            return await journal.decide(self._scripts, keys, entries, **limits)
        except OutOfMemoryError:
            return [Decided(DecideStatus.FULL, entry.decision_id) for entry in entries]


async def patiently(talk: Callable[[], Awaitable[T]]) -> T:
    """``talk``, once more if the connection failed: for what may be repeated, as every script may.

    Raises:
        StoreAway: the store did not answer, or refused.
    """
    try:
        try:
            return await talk()
        except (StoreConnectionError, StoreTimeoutError):
            return await talk()
    except (StoreError, OSError) as error:
        raise StoreAway(f"{type(error).__name__}: nothing was recorded for certain; try again") from error
