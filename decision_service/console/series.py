"""Minutes and days as they are kept in the store: read whole now and then, and their ends at every look.

Ten million decisions take as many reads as ten. What is long past does not change; what others tell late is
seen when all is read again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from msgspec import Struct
from msgspec.structs import astuple

from decision_service.event_log import patiently
from sidecar.contracts import keys
from sidecar.contracts.earned import BETS, Bets, Earned, decode_bets, decode_earned
from sidecar.contracts.store import AsyncScripts
from sidecar.contracts.traffic import MINUTE_MS, SLOT_MS, Traffic, decode_traffic

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
T = TypeVar("T")
_EVERY_MS = 5_000
"""Two hours by minutes and two days by ten minutes are some thousand numbers: a few milliseconds."""


class Series(Struct, Generic[T], frozen=True):
    """By the number of the slot since 1970."""

    minutes: Mapping[int, T]
    slots: Mapping[int, T]
    """Of ten minutes."""


class Day(Struct, frozen=True):
    """What a whole day earned."""

    since_ms: int
    earned: Earned
    bets: Bets


class Past(Struct, frozen=True):
    """What is kept of the last hour, and of the last day."""

    traffic: Series[Traffic]
    earned: Series[Earned]
    days: tuple[Day, ...]
    """Yesterday and today, UTC."""


class Keeper:
    """Reads it; belongs to one event loop.

    Args:
        scripts: on the store.
        app: the application.
    """

    def __init__(self, scripts: AsyncScripts, app: str) -> None:
        self._client, self._app = scripts.client, app
        self._past: Past | None = None
        self._read_ms = 0

    async def look(self, now_ms: int) -> Past:
        """At most so old as people notice.

        Raises:
            StoreAway: the store did not answer.
        """
        if self._past is None or not 0 <= now_ms - self._read_ms < _EVERY_MS:
            self._past, self._read_ms = await patiently(lambda: self._read(now_ms)), now_ms
        return self._past

    async def _read(self, now_ms: int) -> Past:
        app, hour, day = self._app, now_ms // HOUR_MS, now_ms // DAY_MS
        pipe = self._client.pipeline(transaction=False)
        for of_hour, of_day in (
            (keys.traffic_of_hour, keys.traffic_of_day),
            (keys.earned_of_hour, keys.earned_of_day),
        ):
            for key in (of_hour(app, hour - 1), of_hour(app, hour), of_day(app, day - 1), of_day(app, day)):
                pipe.hgetall(key)
        replies = await pipe.execute()
        days = _day((day - 1) * DAY_MS, replies[-2]), _day(day * DAY_MS, replies[-1])
        return Past(
            _series(replies[:4], decode_traffic, now_ms), _series(replies[4:], decode_earned, now_ms), days
        )


def _day(since_ms: int, stored: Mapping[bytes, bytes]) -> Day:
    columns = zip(*[astuple(one) for one in decode_earned(stored).values()], strict=True)
    return Day(since_ms, Earned(*map(sum, columns)), decode_bets(stored.get(BETS.encode())))


def _series(
    replies: list[dict[bytes, bytes]], decode: Callable[[Mapping[bytes, bytes]], dict[int, T]], now_ms: int
) -> Series[T]:
    before, hour, yesterday, today = map(decode, replies)
    return Series(
        _since(before | hour, (now_ms - HOUR_MS) // MINUTE_MS),
        _since(yesterday | today, (now_ms - DAY_MS) // SLOT_MS),
    )


def _since(found: Mapping[int, T], first: int) -> dict[int, T]:
    return {slot: one for slot, one in found.items() if slot > first}
