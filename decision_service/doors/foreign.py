"""One door for all dialects: finds the operation, asks for the key, counts the body's bytes, refuses in kind.

Paths are taken apart as they were sent, so that an id may hold ``%2F``.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import nullcontext
from typing import Protocol
from urllib.parse import parse_qsl, unquote

from msgspec import Struct
from msgspec.structs import replace

from decision_service.admission import Admission, Rank
from decision_service.asgi import AsgiApp, Disconnected, Receive, Scope, Send, body_in_time
from decision_service.auth import Keyring, Role
from decision_service.connection import ANSWER
from decision_service.endpoint import Tell
from decision_service.errors import Overloaded, ServiceError, TooSlow
from decision_service.expressed import Expressed
from decision_service.problem import HttpAnswer
from decision_service.request_ids import or_new, request_id_of, under
from decision_service.responding import AtOnce, respond
from decision_service.telemetry import Telemetry
from decision_service.traced import GONE

log = logging.getLogger("sidearm.decision_service")

Headers = Iterable[tuple[bytes, bytes]]

_RANK: dict[Role, Rank] = {"read": "batch", "admin": "batch", "decide": "decide", "reward": "reward"}
_TOO_MANY = "more requests are under way than can be answered in time; try again later"


class Visit(Struct, frozen=True):
    """A request of a dialect."""

    method: str
    parts: tuple[str, ...]
    """Of the path behind the dialect's prefix, each decoded by itself."""
    query: dict[str, str]
    headers: Headers
    body: bytes = b""

    def header(self, name: bytes) -> str:
        """A header by its lower-case name; empty if it is not there."""
        return next((value.decode("latin-1") for key, value in self.headers if key == name), "")


class Operation(Struct, frozen=True):
    """What a dialect can be asked."""

    name: str
    """For metrics."""
    role: Role
    handle: Callable[[Visit], Awaitable[HttpAnswer]]
    limit_bytes: int = 0
    """Longest body; 0: it takes none."""
    at_once: Callable[[Visit, Tell], None] | None = None
    """The same without a task for each request, for those that are all here."""


class Dialect(Protocol):
    """What one product's API looks like from outside."""

    name: str
    prefix: bytes
    """Of its paths, with a slash at both ends."""

    def claims(self, path: bytes) -> bool:
        """Whether a path that begins so is of this dialect."""
        ...

    def find(self, visit: Visit) -> Operation:
        """The operation that a request means, before its body is there.

        Raises:
            ServiceError: there is none.
        """
        ...

    def authorization(self, visit: Visit) -> str:
        """The key that came along, as an ``Authorization`` header of ours."""
        ...

    def refusal(self, visit: Visit, error: BaseException) -> HttpAnswer:
        """How it says no; whatever is no ``ServiceError`` is a bug of ours."""
        ...


class ForeignDoor:
    """Serves ``dialects``, and hands everything else to ``beyond``."""

    def __init__(
        self,
        dialects: Sequence[Dialect],
        beyond: AsgiApp,
        keyring: Keyring,
        telemetry: Telemetry,
        body_timeout_s: float,
        admission: Admission,
        stopping: Callable[[], bool],
    ) -> None:
        self._dialects, self._beyond = dialects, beyond
        self._keyring, self._telemetry = keyring, telemetry
        self._body_timeout_s, self._admission, self._stopping = body_timeout_s, admission, stopping
        self._expressed = Expressed(admission, telemetry, stopping)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        dialect, path = self._dialect_of(scope)
        if dialect is None:
            await self._beyond(scope, receive, send)
            return
        started_s, visit = time.perf_counter(), visit_of(scope, path)
        name = f"{dialect.name}_unknown"
        tracing, traced = self._telemetry.tracing, None
        try:
            operation = dialect.find(visit)
            name = operation.name
            traced = None if tracing is None else tracing.request(name, visit.headers)
            with nullcontext() if traced is None else traced.current():
                answer = await self._answer(dialect, operation, visit, receive)
        except Disconnected:
            if traced is not None:
                traced.end(GONE)
            return
        except Exception as error:
            answer = self._refusal(dialect, visit, name, error)
        if traced is not None:
            traced.end(answer.status)
        answer = under(request_id_of(visit.headers), answer)
        await respond(send, answer, closing=self._stopping(), at_once=scope.get(ANSWER))
        self._telemetry.answered(name, answer.status, time.perf_counter() - started_s)

    def express(self, scope: Scope, body: bytes, at_once: AtOnce, send: Send) -> bool:
        """Answer a request that is all here, without a task of its own, if its operation can and all is well.

        What is to be refused goes the longer way.
        """
        dialect, path = self._dialect_of(scope)
        if dialect is None:
            return False
        visit = visit_of(scope, path, body)
        try:
            operation = dialect.find(visit)
        except ServiceError:
            return False
        begin = operation.at_once
        if begin is None or len(body) > operation.limit_bytes:
            return False
        if not self._keyring.knows(dialect.authorization(visit), operation.role):
            return False
        return self._expressed.take(
            operation.name,
            _RANK[operation.role],
            lambda tell: begin(visit, tell),
            lambda error: self._refusal(dialect, visit, operation.name, error),
            visit.headers,
            at_once,
            send,
        )

    def _dialect_of(self, scope: Scope) -> tuple[Dialect | None, bytes]:
        """Whose a request is, and its path behind the dialect's prefix."""
        path: bytes = scope["raw_path"] if scope["type"] == "http" else b""
        path = b"/" + path.lstrip(b"/")  # clients put one more after an address that ends with one
        for dialect in self._dialects:
            if path.startswith(dialect.prefix) and dialect.claims(path):
                return dialect, path[len(dialect.prefix) :]
        return None, b""

    async def _answer(
        self, dialect: Dialect, operation: Operation, visit: Visit, receive: Receive
    ) -> HttpAnswer:
        rank = _RANK[operation.role]
        if self._admission.full(rank):  # before its body is read
            raise Overloaded(_TOO_MANY)
        self._keyring.authorise(dialect.authorization(visit), operation.role)
        if operation.limit_bytes:
            body = await self._body(receive, visit.headers, operation.limit_bytes)
            visit = replace(visit, body=body)
        if not self._admission.enter(rank):
            raise Overloaded(_TOO_MANY)
        try:
            return await operation.handle(visit)
        finally:
            self._admission.leave()

    async def _body(self, receive: Receive, headers: Headers, limit_bytes: int) -> bytes:
        try:
            return await body_in_time(receive, headers, limit_bytes, self._body_timeout_s)
        except TimeoutError:
            raise TooSlow(f"the body did not come within {self._body_timeout_s:g} s") from None

    def _refusal(self, dialect: Dialect, visit: Visit, name: str, error: BaseException) -> HttpAnswer:
        answer = dialect.refusal(visit, error)
        if answer.status == 500:
            request_id = or_new(request_id_of(visit.headers))
            log.error("%s failed", name, exc_info=error, extra={"request_id": request_id.decode()})
            return under(request_id, answer)
        return answer


def visit_of(scope: Scope, path: bytes, body: bytes = b"") -> Visit:
    """The request; without its body, where that is still to come."""
    parts = tuple(unquote(part.decode("ascii", "replace")) for part in path.split(b"/"))
    asked: bytes = scope.get("query_string", b"")
    query = dict(parse_qsl(asked.decode("ascii", "replace"), keep_blank_values=True)) if asked else {}
    return Visit(scope["method"], parts, query, scope["headers"], body)
