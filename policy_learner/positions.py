"""Stream positions: ids ``<milliseconds>-<sequence>``, ordered as numbers, not as text."""

from __future__ import annotations

from datetime import UTC, date, datetime

from sidecar.contracts.log_files import order as order

START = "0-0"
"""Before the first entry of any stream."""


def ms_of(position: str) -> int:
    """The store's clock when the entry was made.

    >>> ms_of("1700000000000-3")
    1700000000000
    """
    return order(position)[0]


def date_of(position: str) -> date:
    """The day, UTC, of the entry.

    >>> date_of("1700000000000-3").isoformat()
    '2023-11-14'
    """
    return datetime.fromtimestamp(ms_of(position) // 1000, UTC).date()
