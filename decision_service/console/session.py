"""Who is signed in: a browser holds a signed, expiring word instead of a key, and no script can read it.

The cookie names a key by what the service stores of it, until when, and a signature: nothing is kept here, so
every worker and every replica with the same secret knows it. It is good for nothing once the key is gone.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Iterable

import msgspec
from msgspec import Struct

from decision_service.asgi import header_of
from decision_service.errors import NotAllowed, NotAuthenticated

SCHEME = "Session"
"""Of the ``Authorization`` header that such a cookie stands for."""
ACTS = b"x-sidearm-console"
"""Header of whatever changes something: a page from elsewhere cannot send it along."""
LASTS_MS = 12 * 3_600_000
"""A working day. A session is not prolonged."""
_LOOKS = ("GET", "HEAD")
_ENDED = "the session has ended: sign in again"


class Claim(Struct, frozen=True, array_like=True):
    """What a session says: whose it is, as a key is stored, and until when."""

    prefix: str
    sha256: str
    until_ms: int


class Sessions:
    """Makes and checks sessions.

    Args:
        secret: the same for every replica; what signs is derived from it.
        now_ms: wall clock.
    """

    def __init__(self, secret: bytes, now_ms: Callable[[], int]) -> None:
        self._key = hmac.digest(secret, b"sidearm console session", hashlib.sha256)
        self._now_ms = now_ms
        name = hmac.digest(secret, b"sidearm console cookie", hashlib.sha256).hex()[:8]
        self.cookie = f"sidearm_{name}"
        """Its name: two platforms on one host have two."""

    def begin(self, prefix: str, sha256: str) -> tuple[str, int]:
        """A session for a key, and until when it lasts, in milliseconds since 1970."""
        claim = Claim(prefix, sha256, self._now_ms() + LASTS_MS)
        body = _text(msgspec.json.encode(claim))
        return f"{body}.{self._signature(body)}", claim.until_ms

    def claim(self, session: str) -> Claim:
        """What a session says.

        Raises:
            NotAuthenticated: it is none of ours, or has ended.
        """
        body, _, signature = session.partition(".")
        if not hmac.compare_digest(self._signature(body).encode(), signature.encode()):
            raise NotAuthenticated(_ENDED)
        claim = msgspec.json.decode(base64.urlsafe_b64decode(body), type=Claim)
        if claim.until_ms <= self._now_ms():
            raise NotAuthenticated(_ENDED)
        return claim

    def authorization(self, method: str, headers: Iterable[tuple[bytes, bytes]]) -> str:
        """The ``Authorization`` header of a request: its own, else its cookie's; empty if it has neither.

        Raises:
            NotAllowed: it has a cookie, and was made by a page from elsewhere.
        """
        if own := header_of(headers, b"authorization"):
            return own
        session = self._cookie_of(headers)
        if session and (method not in _LOOKS or not _is_from_here(headers)):
            check_act(headers)
        return f"{SCHEME} {session}" if session else ""

    def _cookie_of(self, headers: Iterable[tuple[bytes, bytes]]) -> str:
        for pair in header_of(headers, b"cookie").split(";"):
            name, _, value = pair.strip().partition("=")
            if name == self.cookie:
                return value
        return ""

    def _signature(self, body: str) -> str:
        return _text(hmac.digest(self._key, body.encode(errors="replace"), hashlib.sha256))


def check_act(headers: Iterable[tuple[bytes, bytes]]) -> None:
    """See that a request comes from a page of ours.

    Raises:
        NotAllowed: it does not say so, or its browser says otherwise.
    """
    if not header_of(headers, ACTS) or not _is_from_here(headers):
        raise NotAllowed(f"only the console's own pages may do this: they send {ACTS.decode()}")


def _is_from_here(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """As the browser says; older ones, and what is no browser, say nothing."""
    return header_of(headers, b"sec-fetch-site") in ("", "same-origin", "none")


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode()
