"""The console's door: files, signing in and out, and what lives; everything else goes on to the next one."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs

import msgspec
from msgspec import Struct

from decision_service.asgi import AsgiApp, Disconnected, Receive, Scope, Send, body_in_time
from decision_service.auth import Keyring, Role
from decision_service.connection import express
from decision_service.console.files import GUARDS, Files
from decision_service.console.session import Sessions, check_act
from decision_service.console.sse import Make, gone, stream
from decision_service.decoding import decode
from decision_service.errors import NotAuthenticated, NotFound, Overloaded, ServiceError, TooSlow, WrongMethod
from decision_service.problem import HttpAnswer, http_problem, problem_of
from decision_service.responding import AtOnce, respond
from decision_service.telemetry import Telemetry
from sidecar.contracts.ending import end

log = logging.getLogger("sidearm.decision_service")

_HOME, _SESSION, _LIVE = b"/console", b"/console/session", b"/v1/console/live"
_MOST_BYTES = 4096
_MOST_LOOK = 256
"""Streams at once: each is a connection, and a page a second."""
_EVERY_S = 1.0
_NO_STORE = ((b"cache-control", b"no-store"), *GUARDS)


class SignIn(Struct, forbid_unknown_fields=True):
    """The body of ``POST /console/session``."""

    key: str


_sign_in = msgspec.json.Decoder(SignIn)


class SignedIn(Struct, frozen=True):
    """Who is signed in."""

    name: str
    roles: tuple[Role, ...]
    application: str


class ConsoleDoor:
    """Serves the console, and hands everything else to ``beyond``.

    Args:
        application: its name.
        lives: makes the events of each page that has some.
        beyond: the next door.
        keyring: who may look.
        sessions: of browsers.
        telemetry: counts the answers.
        body_timeout_s: longest wait for a body.
        stopping: whether the service ends; streams end then.
    """

    def __init__(
        self,
        application: str,
        lives: Mapping[str, Make],
        beyond: AsgiApp,
        keyring: Keyring,
        sessions: Sessions,
        telemetry: Telemetry,
        body_timeout_s: float,
        stopping: Callable[[], bool],
    ) -> None:
        self._application, self._lives, self._beyond = application, lives, beyond
        self._keyring, self._sessions, self._telemetry = keyring, sessions, telemetry
        self._body_timeout_s, self._stopping = body_timeout_s, stopping
        self._files, self._looking = Files(), 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        path: bytes = scope["raw_path"] if scope["type"] == "http" else b""
        if path == _LIVE:
            await self._serve("console_live", self._live, scope, receive, send)
        elif path == _SESSION:
            await self._serve("console_session", self._session, scope, receive, send)
        elif path == _HOME or path.startswith(_HOME + b"/"):
            await self._serve("console", self._file, scope, receive, send)
        else:
            await self._beyond(scope, receive, send)

    def express(self, scope: Scope, body: bytes, at_once: AtOnce, send: Send) -> bool:
        """Nothing of the console is in a hurry; the next door may be."""
        return express(self._beyond, scope, body, at_once, send)

    async def _serve(
        self, name: str, handle: Callable[..., Any], scope: Scope, receive: Receive, send: Send
    ) -> None:
        started_s = time.perf_counter()
        try:
            answer = await handle(scope, receive, send)
        except ServiceError as error:
            answer = _guarded(problem_of(error))
        except Disconnected:
            return
        except Exception:
            log.exception("%s %s failed", scope["method"], name)
            answer = _guarded(http_problem(500))
        if answer is not None:  # else it has been streamed
            await respond(send, answer, closing=self._stopping())
            self._telemetry.answered(name, answer.status, time.perf_counter() - started_s)

    async def _file(self, scope: Scope, receive: Receive, send: Send) -> HttpAnswer:
        if scope["method"] not in ("GET", "HEAD"):
            raise WrongMethod(("GET",))
        path = scope["raw_path"].decode("ascii", "replace")
        if path == "/console":
            return HttpAnswer(308, b"", ((b"location", b"console/"), *GUARDS), "text/plain")
        return self._files.answer(path.removeprefix("/console/"), scope["headers"])

    async def _session(self, scope: Scope, receive: Receive, send: Send) -> HttpAnswer:
        if scope["method"] == "GET":
            return self._who_is_there(scope)
        if scope["method"] not in ("POST", "DELETE"):
            raise WrongMethod(("GET", "POST", "DELETE"))
        check_act(scope["headers"])
        if scope["method"] == "DELETE":
            return HttpAnswer(204, b"", (self._cookie(scope, "", 0), *_NO_STORE))
        try:
            body = await body_in_time(receive, scope["headers"], _MOST_BYTES, self._body_timeout_s)
        except TimeoutError:
            raise TooSlow(f"the body did not come within {self._body_timeout_s:g} s") from None
        return self._begin(decode(_sign_in, body).key, scope)

    def _begin(self, secret: str, scope: Scope) -> HttpAnswer:
        authorization = f"Bearer {secret.strip()}"
        key = self._keyring.authorise(authorization, "read")
        session, until_ms = self._sessions.begin(key.prefix, key.sha256)
        lasts_s = max(until_ms - time.time_ns() // 1_000_000, 0) // 1000
        answer = self._who(authorization)
        return msgspec.structs.replace(
            answer, headers=(self._cookie(scope, session, lasts_s), *answer.headers)
        )

    def _who_is_there(self, scope: Scope) -> HttpAnswer:
        """Null for nobody: to ask is no mistake, and no line in a browser's console."""
        try:
            return self._who(self._authorization(scope))
        except NotAuthenticated:
            return HttpAnswer(200, b"null", _NO_STORE)

    def _who(self, authorization: str) -> HttpAnswer:
        key = self._keyring.authorise(authorization, "read")
        who = SignedIn(key.name, key.roles, self._application)
        return HttpAnswer(200, msgspec.json.encode(who), _NO_STORE)

    def _cookie(self, scope: Scope, session: str, lasts_s: int) -> tuple[bytes, bytes]:
        origins = [value for name, value in scope["headers"] if name == b"origin"]
        secure = "; Secure" if any(one.startswith(b"https:") for one in origins) else ""
        value = (
            f"{self._sessions.cookie}={session}; Path=/; HttpOnly; SameSite=Strict; Max-Age={lasts_s}{secure}"
        )
        return b"set-cookie", value.encode()

    def _authorization(self, scope: Scope) -> str:
        return self._sessions.authorization(scope["method"], scope["headers"])

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> HttpAnswer | None:
        if scope["method"] != "GET":
            raise WrongMethod(("GET",))
        authorization = self._authorization(scope)
        self._keyring.authorise(authorization, "read")
        (page, *_) = parse_qs(scope.get("query_string", b"").decode("ascii", "replace")).get("page", [""])
        if page not in self._lives:
            raise NotFound(f"no such page lives; ?page= one of {', '.join(self._lives)}")
        if self._looking >= _MOST_LOOK:
            raise Overloaded("too many look at the console at once")
        self._looking += 1
        try:
            await self._stream(page, authorization, receive, send)
        finally:
            self._looking -= 1
        return None

    async def _stream(self, page: str, authorization: str, receive: Receive, send: Send) -> None:
        def may() -> None:
            self._keyring.authorise(authorization, "read")

        def goes_on() -> bool:
            return not self._stopping()

        ends = asyncio.create_task(gone(receive))
        tells = asyncio.create_task(stream(page, self._lives[page], may, goes_on, _EVERY_S, send))
        try:
            await asyncio.wait((ends, tells), return_when=asyncio.FIRST_COMPLETED)
        finally:
            await end(ends, tells)


def _guarded(answer: HttpAnswer) -> HttpAnswer:
    return msgspec.structs.replace(answer, headers=(*answer.headers, *_NO_STORE))
