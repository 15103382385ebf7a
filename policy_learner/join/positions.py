"""Stream positions: ids ``<milliseconds>-<sequence>``, ordered as numbers, not as text."""

from __future__ import annotations

from datetime import UTC, date, datetime

from sidecar.contracts.log_files import order as order

START = "0-0"
"""Before the first entry of any stream."""
_END_OF_TIME_MS = 253_402_300_799_999  # the last day that a calendar knows


def ms_of(position: str) -> int:
    """The store's clock when the entry was made; at most the last day of the year 9999.

    >>> ms_of("1700000000000-3"), ms_of("99999999999999999-0")
    (1700000000000, 253402300799999)
    """
    return min(order(position)[0], _END_OF_TIME_MS)


def date_of(position: str) -> date:
    """The day, UTC, of the entry.

    >>> date_of("1700000000000-3").isoformat()
    '2023-11-14'
    """
    return datetime.fromtimestamp(ms_of(position) // 1000, UTC).date()
