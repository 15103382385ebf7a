"""What the documentation says of one endpoint, as data."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

Json = dict[str, Any]

DECISION_ID = "3-18bcfe56800a1b2c3d4e5f60718"
"""Of the examples."""


class Operation(Struct, frozen=True):
    """What the documentation says of one endpoint, beyond its row in the table."""

    summary: str
    description: str
    tag: str
    status: int
    answer: type | None
    """None: plain text."""
    example: Json | None = None
    """Of the answer."""
    request: type | None = None
    request_example: Json | None = None
    refusals: tuple[int, ...] = ()
    """Statuses beside those that every endpoint of its kind has."""
    idempotency_key: bool = False
    optional_body: bool = False
