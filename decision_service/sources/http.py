"""HTTP services as sources of features: a pool of connections, the deadline handed down, typed answers.

In an application's ``features.py``::

    class Profile(msgspec.Struct):
        segment: str

    @fetch(timeout=0.05, fallback=Profile("guest"))
    async def profile(unit_id: str, crm: HttpService) -> Profile:
        return await crm.get("/customers/{id}", Profile, id=unit_id)

    @asynccontextmanager
    async def clients():
        async with open_http("https://crm.internal", timeout_s=0.2) as crm:
            yield {"crm": crm}

What a request of ours does, and what not:

- It tells how long its answer is waited for in ``x-deadline-ms``, so that nobody works for an answer that is
  thrown away: the smaller of the service's own timeout and what the fetch has left.
- It follows no redirect, reads no proxy from the environment, keeps no cookie (one customer's would travel
  with the next one's request) and asks for no compression. Values in a path are quoted, and none can climb
  out of it.
- An answer is read up to ``max_bytes`` and decoded into the type that was asked for.

It stands on httpx's transport, without httpx's client: what a client adds (cookies, redirects, environment)
is what is not wanted here, and a quarter of a call's processor time.

It speaks HTTP/1.1. A pool of kept connections has as many requests in flight as HTTP/2 on one, a lost
packet holds up one of them, not all, and a cancelled request (a hedge that lost) costs its connection only.
HTTP/2 pays off where connections are dear, as over the internet: ``http2=True``, with the package ``h2``.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import lru_cache
from importlib.util import find_spec
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
import msgspec

from decision_service.sources.errors import (
    BadAnswer,
    BadKey,
    BadSource,
    RowMissing,
    SourceAway,
    SourceRefused,
)
from decision_service.sources.lines import Lines
from decision_service.sources.rows import KeyPart, key_text
from feature_graph import remaining

T = TypeVar("T")
Headers = Callable[[], Mapping[str, str]]
"""Asked at every request, in the context of the fetch: where a trace's headers come from."""

DEADLINE_HEADER = "x-deadline-ms"
MAX_BYTES = 1 << 20
KEEP_ALIVE_S = 4.0
"""Idle connections are dropped before common servers drop theirs (5 s): who hangs up first loses nothing."""

_MISSING = frozenset({404, 410})
_LATER = frozenset({408, 425, 429})
_FOR_GOOD = frozenset({501, 505})
"""5xx that no repetition helps."""
_SLACK_S = 0.05
_UNTIMED = {"timeout": dict.fromkeys(("connect", "read", "write", "pool"))}
"""One timer for the whole request stands around it; httpx's own are for a single read each."""
_HEADERS = {"accept": "application/json", "accept-encoding": "identity", "user-agent": "sidearm"}
_HOLE = re.compile(r"\{(\w*)\}")


class HttpService:
    """One HTTP service; made by :func:`open_http`."""

    def __init__(
        self,
        lines: Lines,
        base_url: httpx.URL,
        timeout_s: float,
        max_bytes: int,
        headers: Headers | None,
    ) -> None:
        self._lines = lines
        self._base_url = str(base_url).rstrip("/")
        self._name = base_url.host
        self._timeout_s = timeout_s
        self._max_bytes = max_bytes
        self._headers = headers
        self._decoders: dict[object, msgspec.json.Decoder[Any]] = {}

    async def get(
        self, path: str, kind: type[T], /, *, query: Mapping[str, KeyPart] | None = None, **parts: KeyPart
    ) -> T:
        """``GET path`` as ``kind``.

        Args:
            path: below the base address, with ``{names}`` for what ``parts`` holds.
            kind: type of the answer: a ``msgspec.Struct``, ``dict[str, float]``, ``float``, …
            query: what follows the question mark.
            parts: values of the names in ``path``.

        Raises:
            RowMissing: 404 or 410.
            SourceAway: no connection, no answer in time, 5xx, 408, 425, 429; may be tried again.
            SourceRefused: any other 4xx.
            BadAnswer: the answer is too long, no JSON or not of that type, or a redirect.
            BadKey: a value that cannot be part of a path.
            BadSource: ``path`` and ``parts`` do not fit.
        """
        return await self._ask("GET", path, kind, None, query, parts)

    async def post(
        self,
        path: str,
        body: object,
        kind: type[T],
        /,
        *,
        query: Mapping[str, KeyPart] | None = None,
        **parts: KeyPart,
    ) -> T:
        """``POST path`` with ``body`` as JSON; all else as :meth:`get`, which see."""
        return await self._ask("POST", path, kind, msgspec.json.encode(body), query, parts)

    async def _ask(
        self,
        method: str,
        path: str,
        kind: type[T],
        content: bytes | None,
        query: Mapping[str, KeyPart] | None,
        parts: Mapping[str, KeyPart],
    ) -> T:
        what = f"{self._name}: {method} {path}"  # the path's names, not its values: those are somebody's
        left_s = remaining()
        waits_s = self._timeout_s if left_s is None else min(self._timeout_s, left_s)
        if waits_s <= 0.0:
            raise SourceAway(f"{what}: no time was left to ask")
        url, headers = self._base_url + filled(path, parts), self._request_headers(waits_s, content)
        try:
            request = httpx.Request(
                method, url, params=query, headers=headers, content=content, extensions=_UNTIMED
            )
            # Where the run's own time is shorter, the run ends this fetch: it knows whose time it was.
            limit_s = self._timeout_s if left_s is None else min(self._timeout_s, left_s + _SLACK_S)
            async with asyncio.timeout(limit_s):
                status, body = await self._exchange(request, what)
        except TimeoutError:
            raise SourceAway(f"{what}: no answer within {self._timeout_s:g} s") from None
        except (httpx.LocalProtocolError, httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise BadSource(f"{what}: {error}") from error
        except httpx.TransportError as error:
            raise SourceAway(f"{what}: {type(error).__name__}: {error}") from error
        _check_status(status, what)
        return self._decoded(body if status != 204 else b"null", kind, what)

    def _request_headers(self, waits_s: float, content: bytes | None) -> dict[str, str]:
        headers = _HEADERS if self._headers is None else _HEADERS | dict(self._headers())
        headers = headers | {DEADLINE_HEADER: str(max(1, int(waits_s * 1000)))}
        return headers if content is None else headers | {"content-type": "application/json"}

    async def _exchange(self, request: httpx.Request, what: str) -> tuple[int, bytes]:
        async with self._lines.line() as line:
            response = await line.handle_async_request(request)
            try:
                return response.status_code, await self._body(response, what)
            finally:
                await response.aclose()

    async def _body(self, response: httpx.Response, what: str) -> bytes:
        """All of it, so that the connection can be used again; counted as it comes, whatever it said."""
        if response.headers.get("content-encoding", "identity") != "identity":
            raise BadAnswer(f"{what}: the answer is compressed, which was not asked for")
        length = response.headers.get("content-length", "0")
        if length.isdecimal() and int(length) > self._max_bytes:
            raise BadAnswer(f"{what}: an answer of {length} bytes; at most {self._max_bytes} are read")
        chunks, size_bytes = [], 0
        async for chunk in response.aiter_raw():
            chunks.append(chunk)
            size_bytes += len(chunk)
            if size_bytes > self._max_bytes:
                raise BadAnswer(f"{what}: an answer longer than the {self._max_bytes} bytes that are read")
        return b"".join(chunks)

    def _decoded(self, body: bytes, kind: type[T], what: str) -> T:
        decoder = self._decoders.get(kind)
        if decoder is None:
            decoder = self._decoders[kind] = msgspec.json.Decoder(kind)
        try:
            answer: T = decoder.decode(body)
        except msgspec.DecodeError as error:
            raise BadAnswer(f"{what}: the answer is no {getattr(kind, '__name__', kind)}: {error}") from error
        except UnicodeDecodeError as error:
            raise BadAnswer(f"{what}: the answer is no UTF-8: {error.reason}") from error
        return answer


@asynccontextmanager
async def open_http(
    base_url: str,
    *,
    timeout_s: float = 1.0,
    max_connections: int = 64,
    max_bytes: int = MAX_BYTES,
    headers: Headers | None = None,
    http2: bool = False,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[HttpService]:
    """The service at ``base_url``, until the block ends. Connects when first asked.

    Args:
        base_url: ``http://`` or ``https://``, a host, and perhaps a path below which all is.
        timeout_s: most that one request takes, connecting and waiting for a connection included; what the
            fetch has left, where that is less.
        max_connections: requests under way at once; more wait, at the cost of their own time.
        max_bytes: longest answer that is read.
        headers: more headers for every request, such as a trace's or a key.
        http2: needs the package ``h2``.
        tls: certificates, where the usual ones will not do.

    Raises:
        BadSource: an argument is outside its range.
    """
    url = _checked(base_url)
    if not timeout_s > 0 or max_connections < 1 or max_bytes < 1:
        raise BadSource(f"{base_url}: timeout_s, max_connections and max_bytes must be above 0")
    if http2 and find_spec("h2") is None:
        raise BadSource(f"{base_url}: http2=True needs the package h2: pip install 'httpx[http2]'")
    context = tls or httpx.create_ssl_context(trust_env=False)

    def line() -> httpx.AsyncBaseTransport:
        return httpx.AsyncHTTPTransport(
            verify=context,
            http1=not http2 or url.scheme == "https",  # without TLS nothing is negotiated
            http2=http2,
            limits=httpx.Limits(max_connections=None if http2 else 1, keepalive_expiry=KEEP_ALIVE_S),
            trust_env=False,
        )

    lines = Lines(line, max_connections, shared=http2)
    try:
        yield HttpService(lines, url, timeout_s, max_bytes, headers)
    finally:
        await lines.close()


def filled(path: str, parts: Mapping[str, KeyPart]) -> str:
    """``path`` with its names replaced by quoted values.

    >>> filled("/customers/{id}/orders/{n}", {"id": "a/b?c", "n": 7})
    '/customers/a%2Fb%3Fc/orders/7'

    Raises:
        BadKey: a value is empty, a step up, or no text or whole number.
        BadSource: the path is not below the base address, or names and values do not fit.
    """
    names = _names(path)
    if names != parts.keys():
        raise BadSource(f"the path {path!r} has the names {sorted(names)}, the values are {sorted(parts)}")
    return _HOLE.sub(lambda hole: _quoted(parts[hole[1]]), path) if names else path


@lru_cache(maxsize=1024)
def _names(path: str) -> frozenset[str]:
    if not path.startswith("/") or path.startswith("//") or ".." in path.split("/") or set(path) & set("?#"):
        raise BadSource(f"the path {path!r}: legal: one that begins with a single /; query=… for a query")
    return frozenset(_HOLE.findall(path))


def _quoted(value: KeyPart) -> str:
    text = key_text(value)
    if text in ("", ".", ".."):
        raise BadKey("a value that is empty, . or .. cannot be part of a path")
    return quote(text, safe="")


def _check_status(status: int, what: str) -> None:
    if 200 <= status < 300:
        return
    if status in _MISSING:
        raise RowMissing(f"{what}: {status}, nothing is there")
    if status in _LATER or (status >= 500 and status not in _FOR_GOOD):
        raise SourceAway(f"{what}: {status}")
    if status < 400:
        raise BadAnswer(f"{what}: {status}, a redirect, which is not followed: correct the address")
    raise SourceRefused(f"{what}: {status}")


def _checked(base_url: str) -> httpx.URL:
    try:
        url = httpx.URL(base_url)
    except (httpx.InvalidURL, TypeError) as error:
        raise BadSource(f"{base_url!r} is no address: {error}") from error
    if url.scheme not in ("http", "https") or not url.host or url.query or url.fragment:
        raise BadSource(f"{base_url!r}: legal: http:// or https://, a host, perhaps a port and a path")
    if url.userinfo:
        raise BadSource(f"{url.host}: no password belongs into an address, which is logged; use headers=")
    return url
