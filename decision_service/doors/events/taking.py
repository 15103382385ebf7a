"""The one door of rewards, as events come to it: each has its own fate."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from msgspec import UNSET, Struct, UnsetType

from decision_service.api.rewards import RewardReceipt, RewardRequest
from decision_service.errors import BadRequest
from decision_service.reward import Rewarder


class EventResult(Struct, frozen=True, kw_only=True):
    """What became of an event."""

    id: str
    status: str
    """Of a reward: the best of its receipts' (``accepted``, ``duplicate``, ``late`` …); ``ignored``: it is no
    reward; ``refused``: it breaks its schema or the application's bounds."""
    rewards: list[RewardReceipt] | UnsetType = UNSET
    detail: str | UnsetType = UNSET
    """What was wrong."""


Read = Callable[[], Sequence[RewardRequest]]

_BEST_FIRST = ("accepted", "duplicate", "early", "late", "over_limit", "unknown")


async def take(rewarder: Rewarder, event_id: str, read: Read) -> EventResult:
    """What an event comes to.

    Args:
        rewarder: takes its rewards.
        event_id: to be told of.
        read: the rewards that it means; none: it means nothing here.

    Raises:
        BadRequest: it breaks its schema or the application's bounds.
        StoreAway, SpoolFailed: it may or may not have been taken; sending it again is safe.
    """
    rewards = read()
    if not rewards:
        return EventResult(id=event_id, status="ignored")
    receipts = await rewarder.take(rewards, "", lambda place: f"/rewards/{place}" if len(rewards) > 1 else "")
    status = min((receipt.status for receipt in receipts), key=_BEST_FIRST.index)
    return EventResult(id=event_id, status=status, rewards=receipts)


async def take_all(rewarder: Rewarder, events: Sequence[tuple[str, Read]]) -> list[EventResult]:
    """The same for many, of which those at fault do not touch the others.

    Raises:
        StoreAway, SpoolFailed: as :func:`take`.
    """

    async def one(event_id: str, read: Read) -> EventResult:
        try:
            return await take(rewarder, event_id, read)
        except BadRequest as error:
            return EventResult(id=event_id, status="refused", detail=str(error))

    return list(await asyncio.gather(*(one(event_id, read) for event_id, read in events)))
