"""Asking a log for decisions: what ``python -m offline_eval.finding`` reads and writes, as JSON.

Whoever asks need not be able to read Parquet: the service's image is not.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

MOST_FOUND = 500
Moment = Annotated[int, Meta(ge=0, le=253_402_300_799_999)]
"""Milliseconds since 1970, before the year 10,000."""


class Sought(Struct, frozen=True, forbid_unknown_fields=True):
    """What is known of the decisions that are looked for. Empty fields do not restrict."""

    decision_id: str = ""
    """Exactly this one, with its event."""
    session_id: str = ""
    unit_id: str = ""
    arm: str = ""
    """In any slot."""
    source: str = ""
    since_ms: Moment | None = None
    """Decided at or after, by the service's clock."""
    until_ms: Moment | None = None
    """Decided before."""
    limit: Annotated[int, Meta(ge=1, le=MOST_FOUND)] = 50
    """The newest so many."""


class LoggedDecision(Struct, frozen=True):
    """A decision as it lies in the log."""

    decision_id: str
    session_id: str
    unit_id: str
    decided_at_ms: int
    finalised_at_ms: int
    source: str
    policy: str
    model_version: int
    arm: str
    propensity: float
    reward: float | None
    """Aggregated."""
    reward_source_n: int
    """Rewards in it; 0: it is the default."""
    segment: str | None
    activated: bool | None
    arms: tuple[str, ...] = ()
    """Eligible ones, in the order of the scores; only where one decision was asked for, like what follows."""
    event: bytes = b""
    """As stored."""
    slot_rewards: tuple[float | None, ...] = ()
    """Of further slots."""


class Looked(Struct, frozen=True):
    """The answer."""

    found: tuple[LoggedDecision, ...]
    """The newest first."""
    rows: int
    """Of the files that were looked into."""
    files: int
    failed: str = ""
    """Why nothing could be looked into; empty: it could."""
