"""Times as the API writes and reads them: RFC 3339 in UTC, milliseconds inside."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache


def utc(at_ms: int) -> str:
    """RFC 3339 with milliseconds.

    >>> utc(1_700_000_000_123)
    '2023-11-14T22:13:20.123Z'
    """
    seconds, millis = divmod(at_ms, 1000)
    return f"{_second(seconds)}.{millis:03d}Z"


@lru_cache(maxsize=256)
def _second(seconds: int) -> str:
    """Thousands of answers name the same one."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()[:19]


def millis(text: str) -> int:
    """Milliseconds since 1970 of a time with a zone.

    Raises:
        ValueError: it is no such time.

    >>> millis("2023-11-14T23:13:20+01:00")
    1700000000000
    """
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"{text!r} has no zone")
    try:
        return int(at.timestamp() * 1000)
    except OverflowError as error:
        raise ValueError(str(error)) from error
