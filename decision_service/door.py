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
Tell = Callable[[HttpAnswer | BaseException], None]
"""Is told the answer, or why there is none; once."""
AtOnce = Callable[[int, list[tuple[bytes, bytes]], bytes], bool]
"""Sends an answer in one piece; False where it has to go the longer way."""


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
    at_once: Callable[[Request, Tell], None] | None = None
    """The same without a task for each request, for those that are all here."""


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
        self._slow: set[asyncio.Task[None]] = set()
        """Answers that a client is slow to take."""
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

    def express(self, scope: Scope, body: bytes, at_once: AtOnce, send: Send) -> bool:
        """Answer a request that is all here, without a task of its own, if its endpoint can and all is well.

        What is to be refused goes the longer way.
        """
        endpoint = self._exact.get(scope["raw_path"], {}).get(scope["method"])
        if endpoint is None or endpoint.at_once is None or len(body) > endpoint.limit_bytes:
            return False
        rank, headers = endpoint.rank or _RANK[endpoint.role], scope["headers"]
        if endpoint.role is None or not self._keyring.knows(
            _header(headers, b"authorization"), endpoint.role
        ):
            return False
        if not self._admission.enter(rank):
            return False
        started = time.perf_counter()

        def tell(said: HttpAnswer | BaseException) -> None:
            self._admission.leave()
            answer = said if isinstance(said, HttpAnswer) else refusal(said, endpoint)
            if not at_once(answer.status, head_of(answer, closing=self._stopping()), answer.body):
                self._send_slowly(send, answer)
            self._telemetry.answered(endpoint.name, answer.status, time.perf_counter() - started)

        try:
            endpoint.at_once(Request(body, "", headers), tell)
        except Exception as error:
            tell(error)
        return True

    def _send_slowly(self, send: Send, answer: HttpAnswer) -> None:
        """To a client that does not take it at one go."""
        task = asyncio.get_running_loop().create_task(respond(send, answer, closing=self._stopping()))
        self._slow.add(task)
        task.add_done_callback(self._slow.discard)

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


def refusal(error: BaseException, endpoint: Endpoint) -> HttpAnswer:
    """The problem that is answered instead."""
    if isinstance(error, ServiceError):
        return problem_of(error)
    log.error("%s %s failed", endpoint.method, endpoint.path, exc_info=error)
    return http_problem(500)


def head_of(answer: HttpAnswer, *, closing: bool) -> list[tuple[bytes, bytes]]:
    """Its headers."""
    return [
        (b"content-type", answer.media_type.encode()),
        (b"content-length", str(len(answer.body)).encode()),
        *answer.headers,
        *(_CLOSING if closing else ()),
    ]


async def respond(
    send: Send,
    answer: HttpAnswer,
    *,
    closing: bool = False,
    at_once: AtOnce | None = None,
) -> None:
    """Send ``answer``, the last one on its connection if ``closing``."""
    headers = head_of(answer, closing=closing)
    if at_once is not None and at_once(answer.status, headers, answer.body):
        return
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


def _header(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> str:
    for key, value in headers:
        if key == name:
            return value.decode("latin-1")
    return ""
