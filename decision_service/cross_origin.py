"""Pages of other origins: which of them may ask and tell, as browsers want to know it (CORS).

Only what a page has use for is open to them: decisions, rewards, flags, events. They have keys, not sessions:
credentials are never allowed, so no visitor's cookie is of any use to a page from elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from decision_service.asgi import AsgiApp, Receive, Scope, Send, header_of
from decision_service.connection import ANSWER, express
from decision_service.problem import HttpAnswer
from decision_service.responding import AtOnce, respond
from sidecar.contracts.errors import BadSettings

Headers = tuple[tuple[bytes, bytes], ...]

_OPEN = re.compile(
    rb"/+(v1/(recommendations|rewards)(/batch)?|v1/decisions/[^/]+/activate|ofrep/.*"
    rb"|v1/(events|track|identify|page|screen|group|alias|batch|import))"
)
"""Asks for decisions, or tells what came of them: nothing that reads or changes more."""
_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:[0-9]{1,5})?|https?://\[[0-9a-f:]+\](:[0-9]{1,5})?")
_NAMES = re.compile(r"[A-Za-z0-9, -]{1,1024}")
_VARY: Headers = ((b"vary", b"origin"),)
_KEEP_S = 7200
"""A browser need not ask again for so long; none keeps it longer."""


def origins_of(said: str) -> frozenset[bytes]:
    """The origins in a setting, with commas between.

    Raises:
        BadSettings: one that no browser would send.

    >>> sorted(origins_of("https://shop.example, http://localhost:3000"))
    [b'http://localhost:3000', b'https://shop.example']
    """
    found = [one.strip() for one in said.split(",") if one.strip()]
    for origin in found:
        if _ORIGIN.fullmatch(origin) is None:
            raise BadSettings(
                f"cors_origins: {origin!r}; legal: scheme and host as browsers write them, such as"
                " https://shop.example or http://localhost:3000, no path, no *"
            )
    return frozenset(origin.encode() for origin in found)


class CrossOrigin:
    """Lets pages of ``origins`` in, and hands every request on.

    Args:
        origins: as browsers write them.
        beyond: the application.
    """

    def __init__(self, origins: Iterable[bytes], beyond: AsgiApp) -> None:
        self._origins, self._beyond = frozenset(origins), beyond

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        origin = _origin_of(scope)
        if origin is None:
            await self._beyond(scope, receive, send)
        elif scope["method"] == "OPTIONS" and header_of(scope["headers"], b"access-control-request-method"):
            await respond(send, self._preflight(scope, origin), at_once=scope.get(ANSWER))
        else:
            await self._answer(scope, receive, send, self._allowing(origin))

    def express(self, scope: Scope, body: bytes, at_once: AtOnce, send: Send) -> bool:
        """What the application answers at once, with the page's headers."""
        origin = _origin_of(scope)
        if origin is None:
            return express(self._beyond, scope, body, at_once, send)
        if scope["method"] == "OPTIONS":
            return False
        more = self._allowing(origin)
        return express(self._beyond, scope, body, _answers_with(more, at_once), _sends_with(more, send))

    async def _answer(self, scope: Scope, receive: Receive, send: Send, more: Headers) -> None:
        at_once = scope.get(ANSWER)
        if at_once is not None:
            scope[ANSWER] = _answers_with(more, at_once)
        await self._beyond(scope, receive, _sends_with(more, send))

    def _allowing(self, origin: bytes) -> Headers:
        if origin not in self._origins:
            return _VARY
        exposed = (b"access-control-expose-headers", b"etag, retry-after, x-request-id")
        return (b"access-control-allow-origin", origin), exposed, *_VARY

    def _preflight(self, scope: Scope, origin: bytes) -> HttpAnswer:
        """204 in any case; without the headers that allow, the browser does not go on."""
        if origin not in self._origins:
            return HttpAnswer(204, b"", _VARY)
        allowed = [
            (b"access-control-allow-origin", origin),
            (b"access-control-allow-methods", b"POST"),
            (b"access-control-max-age", b"%d" % _KEEP_S),
        ]
        wanted = header_of(scope["headers"], b"access-control-request-headers")
        if _NAMES.fullmatch(wanted):
            allowed.append((b"access-control-allow-headers", wanted.encode()))
        return HttpAnswer(204, b"", (*allowed, *_VARY))


def _origin_of(scope: Scope) -> bytes | None:
    """The page's origin, where a path is asked for that is open to pages."""
    if scope["type"] != "http" or _OPEN.fullmatch(scope["raw_path"]) is None:
        return None
    return next((value for name, value in scope["headers"] if name == b"origin"), None)


def _answers_with(more: Headers, at_once: AtOnce) -> AtOnce:
    return lambda status, headers, body: at_once(status, [*headers, *more], body)


def _sends_with(more: Headers, send: Send) -> Send:
    async def sends(message: Any) -> None:  # noqa: ANN401 - as ASGI has it
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], *more]}
        await send(message)

    return sends
