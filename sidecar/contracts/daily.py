"""What happens once a day, at a time of the day (UTC)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

from msgspec import Meta

TimeOfDay = Annotated[str, Meta(pattern=r"^(([01]\d|2[0-3]):[0-5]\d)?$")]
"""Such as ``03:00``; empty: never."""


def due_before(at: str, now_ms: int) -> int:
    """The last moment before now, milliseconds, that a time of the day (UTC) came.

    >>> due_before("03:00", 10_799_999) - due_before("03:00", 10_800_000)
    -86400000
    """
    hour, minute = map(int, at.split(":"))
    now = datetime.fromtimestamp(now_ms / 1000, UTC)
    moment = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
    if moment > now:
        moment -= timedelta(days=1)
    return round(moment.timestamp() * 1000)
