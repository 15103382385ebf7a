"""The last hour by minutes and the last day by ten minutes, as they are kept in the store.

Ten million decisions take as many reads as ten: some thousand numbers, a few milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from msgspec import Struct
from msgspec.structs import astuple

from sidecar.contracts import keys
from sidecar.contracts.earned import BETS, Bets, Earned, decode_bets, decode_earned
from sidecar.contracts.store import AsyncScripts
from sidecar.contracts.traffic import MINUTE_MS, SLOT_MS, Traffic, decode_traffic

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
T = TypeVar("T")


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


async def read_past(scripts: AsyncScripts, app: str, now_ms: int) -> Past:
    """As it is in the store: eight hashes, in one round trip.

    Raises:
        StoreError: it did not answer.
    """
    hour, day = now_ms // HOUR_MS, now_ms // DAY_MS
    pipe = scripts.client.pipeline(transaction=False)
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
