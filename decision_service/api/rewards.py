"""Saying what came of decisions."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from decision_service.api.values import MAX_REWARDS, Id, Key


class RewardRequest(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Says what came of a decision."""

    decision_id: Key | None = None
    """Of the answer; or, with ``session_id``, the client's own key."""
    session_id: Key | None = None
    """Alone it means the session's last decision."""
    event: Id | None = None
    """A row of the application's table of events; its value is the reward unless ``reward`` is given."""
    reward: float | None = None
    arm: Id | None = None
    """The arm that earned it. Of a decision of several slots only that slot is rewarded; without it, or if it
    was in none of them, the first is."""
    reward_id: Key | None = None
    """Idempotency key, such as the order's number; the ``Idempotency-Key`` header stands in for it."""
    occurred_at: Annotated[str, Meta(max_length=64)] | None = None
    """RFC 3339 with a zone, such as 2026-01-01T12:30:00Z. Recorded; the store's clock decides."""


class RewardBatch(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Many rewards, each with its own fate."""

    rewards: Annotated[list[RewardRequest], Meta(min_length=1, max_length=MAX_REWARDS)]


RewardStatus = Literal["accepted", "duplicate", "early", "late", "unknown", "over_limit"]


class RewardReceipt(Struct, frozen=True, kw_only=True):
    """What became of a reward."""

    status: RewardStatus
    decision_id: str | None
    """The decision that it went to; null when nobody was found."""
    decision_ids: list[str] | UnsetType = UNSET
    """All that it went to, the newest first, where a reward by session reaches several; ``status`` is then
    the best of theirs."""
    reward_id: str
    """Its idempotency key, made here when the client gave none."""
    spooled: bool | UnsetType = UNSET
    """True: the store is away; the reward is written down beside the service, and what becomes of it is not
    known before the store is back."""


class RewardReceipts(Struct, frozen=True, kw_only=True):
    """One receipt a reward, in the order of the request."""

    rewards: list[RewardReceipt]
