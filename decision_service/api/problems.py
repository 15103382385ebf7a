"""What is answered when something is wrong (RFC 9457), and to probes."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct


class ProblemDetail(Struct, frozen=True):
    """One field at fault."""

    pointer: str
    detail: str


class Problem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[ProblemDetail] = []


class Health(Struct, frozen=True, kw_only=True):
    """A probe's answer."""

    status: Literal["ok"]
