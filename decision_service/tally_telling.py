"""What a service has counted, told to the store once a second, for people: ever, and by the minute."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress

from decision_service.errors import StoreAway
from decision_service.event_log import patiently
from decision_service.tally import EXCLUDED
from decision_service.telemetry import Telemetry
from sidecar.contracts import keys
from sidecar.contracts.store import AsyncScripts
from sidecar.contracts.traffic import (
    DAYS_KEPT_S,
    MINUTE_MS,
    MINUTES_KEPT_S,
    SLOT_MS,
    of_source,
    of_time,
)

_TELL_EVERY_S = 1.0
_HOUR_MS, _DAY_MS = 3_600_000, 86_400_000


class Teller:
    """Tells what one process counted; belongs to one event loop.

    Args:
        telemetry: counts.
        scripts: on the store.
        app: the application.
        now_ms: wall clock: what was counted since the last time is of the minute in which it is told.
    """

    def __init__(
        self, telemetry: Telemetry, scripts: AsyncScripts, app: str, now_ms: Callable[[], int]
    ) -> None:
        self._telemetry, self._client, self._app, self._now_ms = telemetry, scripts.client, app, now_ms
        self._told_times: Counter[float] = Counter()

    async def keep_telling(self) -> None:
        """For ever. While the store is away the counts wait; one whose reply was lost may be told twice."""
        while True:
            await asyncio.sleep(_TELL_EVERY_S)
            with suppress(StoreAway):
                await self.tell()

    async def tell(self) -> None:
        """Tell the store what it has not been told.

        Raises:
            StoreAway: it did not answer, and will be told another time.
        """
        tally, all_times = self._telemetry.tally, self._telemetry.times()
        counts, times = tally.untold(), all_times - self._told_times
        if counts or times:
            await patiently(lambda: self._tell(counts, times))
            tally.told(counts)
            self._told_times = all_times

    async def _tell(self, counts: Counter[str], times: Counter[float]) -> None:
        app, now_ms = self._app, self._now_ms()
        pipe = self._client.pipeline(transaction=True)
        for what, count in counts.items():
            pipe.hincrby(keys.answers(app), what, count)
        hour, day = keys.traffic_of_hour(app, now_ms // _HOUR_MS), keys.traffic_of_day(app, now_ms // _DAY_MS)
        for key, slot, kept_s in (
            (hour, now_ms // MINUTE_MS, MINUTES_KEPT_S),
            (day, now_ms // SLOT_MS, DAYS_KEPT_S),
        ):
            for field, count in _fields(slot, counts, times):
                pipe.hincrby(key, field, count)
            pipe.expire(key, kept_s)
        await pipe.execute()


def _fields(slot: int, counts: Counter[str], times: Counter[float]) -> Iterator[tuple[str, int]]:
    yield from ((of_source(slot, source), count) for source, count in counts.items() if source != EXCLUDED)
    yield from ((of_time(slot, edge_ms), count) for edge_ms, count in times.items())
