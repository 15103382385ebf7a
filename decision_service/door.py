"""The door: plain ASGI in front of the application.

It finds the endpoint, asks for the key, counts the body's bytes, and turns every refusal into a problem.
Paths are matched as they were sent, so that an id may hold ``%2F``. What is no endpoint of the table goes on
to the framework: documentation, and everything that does not exist.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable, MutableMapping
from types import coroutine
from typing import Any
from urllib.parse import unquote

from msgspec import Struct

from decision_service.admission import Admission, Rank
from decision_service.auth import Keyring, Role
from decision_service.connection import ANSWER
from decision_service.errors import BodyTooLarge, Overloaded, ServiceError, TooSlow, WrongMethod
from decision_service.problem import HttpAnswer, http_problem, problem_of
from decision_service.telemetry import Telemetry

log = logging.getLogger("sidearm.decision_service")

Scope = MutableMapping[str, Any]  # as the ASGI specification has it
Receive = Callable[[], Awaitable[Scope]]
Send = Callable[[Scope], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]


_TOO_MANY = "more requests are under way than can be answered in time; try again later"
_CLOSING = ((b"connection", b"close"),)


_RANK: dict[Role | None, Rank] = {
    None: "probe",
    "read": "batch",
    "admin": "batch",
    "decide": "decide",
    "reward": "reward",
}


class Request(Struct, frozen=True):
    """What an endpoint is given."""

    body: bytes
    argument: str
    """The part of the path that stands for ``{…}``, decoded."""
    headers: Iterable[tuple[bytes, bytes]]

    def header(self, name: bytes) -> str:
        """A header by its lower-case name; empty if it is not there."""
        return _header(self.headers, name)


class Endpoint(Struct, frozen=True):
    """One row of the table of endpoints."""

    name: str
    """For metrics, and the operation's id in the documentation."""
    method: str
    path: str
    """May have a last or a last but one part ``{…}``, of any content."""
    handle: Callable[[Request], Awaitable[HttpAnswer]]
    role: Role | None = None
    """None: anybody may call it."""
    limit_bytes: int = 0
    """Longest body; 0: it takes none."""
    rank: Rank | None = None
    """Who is turned away first when there are too many; None: as the role has it."""


class Door:
    """Serves ``endpoints``, and hands everything else to ``beyond``."""

    def __init__(
        self,
        endpoints: Iterable[Endpoint],
        beyond: AsgiApp,
        keyring: Keyring,
        telemetry: Telemetry,
        body_timeout_s: float,
        admission: Admission,
        stopping: Callable[[], bool],
    ) -> None:
        self._admission = admission
        self._stopping = stopping
        self._beyond = beyond
        self._keyring = keyring
        self._telemetry = telemetry
        self._body_timeout_s = body_timeout_s
        self._exact: dict[bytes, dict[str, Endpoint]] = {}
        self._around: dict[tuple[bytes, bytes], dict[str, Endpoint]] = {}  # what stands before and behind {…}
        for endpoint in endpoints:
            head, brace, rest = endpoint.path.partition("{")
            if brace:
                around = head.encode(), rest.partition("}")[2].encode()
                self._around.setdefault(around, {})[endpoint.method] = endpoint
            else:
                self._exact.setdefault(head.encode(), {})[endpoint.method] = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._beyond(scope, receive, send)
            return
        methods, argument = self._find(scope["raw_path"])
        if not methods:
            await self._beyond(scope, receive, send)
            return
        started = time.perf_counter()
        endpoint = methods.get(scope["method"])
        try:
            answer = await self._answer(methods, endpoint, argument, scope, receive)
        except Disconnected:
            return
        await respond(send, answer, closing=self._stopping(), at_once=scope.get(ANSWER))
        name = endpoint.name if endpoint else "wrong_method"
        self._telemetry.answered(name, answer.status, time.perf_counter() - started)

    def _find(self, path: bytes) -> tuple[dict[str, Endpoint] | None, str]:
        if methods := self._exact.get(path):
            return methods, ""
        head, slash, argument = path.rpartition(b"/")
        methods, behind = self._around.get((head + slash, b"")), b"/" + argument
        if not methods:
            head, slash, argument = head.rpartition(b"/")
            methods = self._around.get((head + slash, behind))
        if not methods or not argument:
            return None, ""
        return methods, unquote(argument.decode("ascii", "replace"))

    async def _answer(
        self,
        methods: dict[str, Endpoint],
        endpoint: Endpoint | None,
        argument: str,
        scope: Scope,
        receive: Receive,
    ) -> HttpAnswer:
        headers = scope["headers"]
        try:
            if endpoint is None:
                raise WrongMethod(tuple(methods))
            rank = endpoint.rank or _RANK[endpoint.role]
            if self._admission.full(rank):  # before its body is read
                raise Overloaded(_TOO_MANY)
            if endpoint.role is not None:
                self._keyring.authorise(_header(headers, b"authorization"), endpoint.role)
            body = b""
            if endpoint.limit_bytes:
                body = await self._body(receive, headers, endpoint.limit_bytes)
            return await self._handled(endpoint, rank, Request(body, argument, headers))
        except ServiceError as error:
            return problem_of(error)
        except Disconnected:
            raise
        except TimeoutError:
            return problem_of(TooSlow(f"the body did not come within {self._body_timeout_s:g} s"))
        except Exception:
            log.exception("%s %s failed", scope["method"], endpoint.path if endpoint else "?")
            return http_problem(500)

    async def _body(
        self, receive: Receive, headers: Iterable[tuple[bytes, bytes]], limit_bytes: int
    ) -> bytes:
        """It is here already more often than not: no clock is set then.

        Raises:
            As :func:`read_body`.
            TimeoutError: it did not come in time.
        """
        reading = read_body(receive, headers, limit_bytes)
        try:
            waits_for = reading.send(None)
        except StopIteration as done:
            body: bytes = done.value
            return body
        async with asyncio.timeout(self._body_timeout_s):
            return await _rest_of(reading, waits_for)

    async def _handled(self, endpoint: Endpoint, rank: Rank, request: Request) -> HttpAnswer:
        """A request takes a place when all of it is here: whoever dribbles takes none. Nor do probes.

        Raises:
            Overloaded: there is none.
        """
        if rank == "probe":
            return await endpoint.handle(request)
        if not self._admission.enter(rank):
            raise Overloaded(_TOO_MANY)
        try:
            return await endpoint.handle(request)
        finally:
            self._admission.leave()


class Disconnected(Exception):
    """The client went away before its body was here: there is nobody to answer."""


async def read_body(receive: Receive, headers: Iterable[tuple[bytes, bytes]], limit_bytes: int) -> bytes:
    """The request's body, refused at the first byte over the limit, whatever the headers promised.

    Raises:
        BodyTooLarge: it is, or says that it will be.
        Disconnected: it never came.
    """
    declared = _header(headers, b"content-length")
    if declared.isdigit() and int(declared) > limit_bytes:
        raise BodyTooLarge(limit_bytes)
    message = await receive()
    body: bytes = message.get("body", b"")
    while message["type"] == "http.request" and message.get("more_body", False):
        message = await receive()
        body += message.get("body", b"")
        if len(body) > limit_bytes:
            break
    if message["type"] == "http.disconnect":
        raise Disconnected
    if len(body) > limit_bytes:
        raise BodyTooLarge(limit_bytes)
    return body


@coroutine
def _rest_of(begun: Coroutine[Any, Any, bytes], waits_for: object) -> Generator[Any, Any, bytes]:
    """Await what is left of a coroutine that waits for something."""
    try:
        while True:
            try:
                sent = yield waits_for
            except BaseException as error:
                waits_for = begun.throw(error)
            else:
                waits_for = begun.send(sent)
    except StopIteration as done:
        body: bytes = done.value
        return body


async def respond(
    send: Send,
    answer: HttpAnswer,
    *,
    closing: bool = False,
    at_once: Callable[[int, list[tuple[bytes, bytes]], bytes], bool] | None = None,
) -> None:
    """Send ``answer``, the last one on its connection if ``closing``."""
    headers = [
        (b"content-type", answer.media_type.encode()),
        (b"content-length", str(len(answer.body)).encode()),
        *answer.headers,
        *(_CLOSING if closing else ()),
    ]
    if at_once is not None and at_once(answer.status, headers, answer.body):
        return
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


def _header(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> str:
    for key, value in headers:
        if key == name:
            return value.decode("latin-1")
    return ""
