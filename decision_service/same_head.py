"""A caller's requests begin with the same bytes, but for the length of their body: read once, they are known.

A head that was read tells the same when it comes again, byte by byte. Only what is whole is taken so, with a
plain length; everything else is read.
"""

from __future__ import annotations

import re

from msgspec import Struct

from decision_service.asgi import Scope

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,5})[ \t]*\r\n", re.IGNORECASE)
_MOST_DIGITS = 5
_NAME = b"content-length"
_END = b"\r\n\r\n"
_LONGEST = 4_096
"""Bytes of a head that is worth keeping with its connection."""


class Head(Struct, frozen=True):
    """A head that was read."""

    before: bytes
    """All up to the digits of its length."""
    behind: bytes
    """All from there on, the empty line included."""
    scope: Scope
    """What it told."""
    place: int
    """Of the length among its headers."""

    def again(self, data: bytes) -> tuple[Scope, bytes] | None:
        """What the request in ``data`` tells, and its body, if it is all there and has this head."""
        if not data.startswith(self.before):
            return None
        start = len(self.before)
        end = data.find(self.behind, start, start + _MOST_DIGITS + len(self.behind))
        length, body = data[start:end], data[end + len(self.behind) :]
        if end < 0 or not length.isdigit() or int(length) != len(body):
            return None
        headers = self.scope["headers"].copy()
        headers[self.place] = (_NAME, length)
        return {**self.scope, "headers": headers}, body


def known_head(data: bytes, scope: Scope) -> Head | None:
    """The head of ``data``, which told ``scope``; None if that is no whole request of a plain length."""
    end = data.find(_END, 0, _LONGEST)
    said = _LENGTH.search(data, 0, end + 2) if end >= 0 else None
    names = [name for name, _ in scope["headers"]]
    if said is None or names.count(_NAME) != 1 or b"transfer-encoding" in names:
        return None
    if int(said[1]) != len(data) - end - len(_END):
        return None
    behind = data[said.end(1) : end + len(_END)]
    return Head(data[: said.start(1)], behind, scope, names.index(_NAME))
