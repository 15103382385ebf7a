"""The caller's name for a request, ``X-Request-ID``: it goes back with the answer and into errors' lines."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable

import msgspec

from decision_service.problem import HttpAnswer

HEADER = b"x-request-id"
_LEGAL = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}").fullmatch
"""Nothing that could pass for another field of a line."""


def request_id_of(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The caller's; empty if there is none that may be repeated."""
    for name, value in headers:
        if name == HEADER:
            return value if _LEGAL(value) else b""
    return b""


def or_new(request_id: bytes) -> bytes:
    """``request_id``, or one of ours: whoever is told of an error can say which it was."""
    return request_id or secrets.token_hex(8).encode()


def under(request_id: bytes, answer: HttpAnswer) -> HttpAnswer:
    """``answer`` with that id, if there is one and it has none yet."""
    if not request_id or any(name == HEADER for name, _ in answer.headers):
        return answer
    return msgspec.structs.replace(answer, headers=(*answer.headers, (HEADER, request_id)))
