"""The door: plain ASGI in front of the application.

It finds the endpoint, asks for the key, counts the body's bytes, and turns every refusal into a problem.
Paths are matched as they were sent, so that an id may hold ``%2F``. What is no endpoint of the table goes on
to the framework: documentation, and everything that does not exist.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from urllib.parse import unquote

from decision_service.admission import Admission, Rank
from decision_service.asgi import AsgiApp, Disconnected, Receive, Scope, Send, body_in_time, header_of
from decision_service.auth import Keyring
from decision_service.connection import ANSWER, express
from decision_service.console.session import Sessions
from decision_service.endpoint import Endpoint, Request, rank_of
from decision_service.errors import Overloaded, ServiceError, TooSlow, WrongMethod
from decision_service.expressed import Expressed
from decision_service.problem import HttpAnswer, http_problem, problem_of
from decision_service.request_ids import or_new, request_id_of, under
from decision_service.responding import AtOnce, respond
from decision_service.telemetry import Telemetry
from decision_service.traced import GONE

log = logging.getLogger("sidearm.decision_service")

_TOO_MANY = "more requests are under way than can be answered in time; try again later"


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
        sessions: Sessions,
    ) -> None:
        self._sessions = sessions
        self._admission = admission
        self._expressed = Expressed(admission, telemetry, stopping)
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
        name = endpoint.name if endpoint else "wrong_method"
        tracing = self._telemetry.tracing
        traced = None if tracing is None else tracing.request(name, scope["headers"])
        try:
            with nullcontext() if traced is None else traced.current():
                answer = await self._answer(methods, endpoint, argument, scope, receive)
        except Disconnected:
            if traced is not None:
                traced.end(GONE)
            return
        if traced is not None:
            traced.end(answer.status)
        answer = under(request_id_of(scope["headers"]), answer)
        await respond(send, answer, closing=self._stopping(), at_once=scope.get(ANSWER))
        self._telemetry.answered(name, answer.status, time.perf_counter() - started)

    def express(self, scope: Scope, body: bytes, at_once: AtOnce, send: Send) -> bool:
        """Answer a request that is all here, without a task of its own, if its endpoint can and all is well.

        What is to be refused goes the longer way.
        """
        methods = self._exact.get(scope["raw_path"])
        if methods is None:
            return express(self._beyond, scope, body, at_once, send)
        endpoint = methods.get(scope["method"])
        if endpoint is None or endpoint.at_once is None or len(body) > endpoint.limit_bytes:
            return False
        headers = scope["headers"]
        if endpoint.role is None or not self._keyring.knows(
            header_of(headers, b"authorization"), endpoint.role
        ):
            return False
        begin, request = endpoint.at_once, Request(body, "", headers)
        return self._expressed.take(
            endpoint.name,
            rank_of(endpoint),
            lambda tell: begin(request, tell),
            lambda error: refusal(error, endpoint, request_id_of(headers)),
            headers,
            at_once,
            send,
        )

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
            rank = rank_of(endpoint)
            if self._admission.full(rank):  # before its body is read
                raise Overloaded(_TOO_MANY)
            if endpoint.role is not None:
                authorization = self._sessions.authorization(scope["method"], headers)
                self._keyring.authorise(authorization, endpoint.role)
            body = b""
            if endpoint.limit_bytes:
                body = await body_in_time(receive, headers, endpoint.limit_bytes, self._body_timeout_s)
            return await self._handled(endpoint, rank, Request(body, argument, headers))
        except ServiceError as error:
            return problem_of(error)
        except Disconnected:
            raise
        except TimeoutError:
            return problem_of(TooSlow(f"the body did not come within {self._body_timeout_s:g} s"))
        except Exception as error:
            request_id = or_new(request_id_of(headers))
            where = f"{scope['method']} {endpoint.path if endpoint else '?'}"
            return failure(where, error, request_id)

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


def refusal(error: BaseException, endpoint: Endpoint, request_id: bytes = b"") -> HttpAnswer:
    """The problem that is answered instead."""
    if isinstance(error, ServiceError):
        return problem_of(error)
    return failure(f"{endpoint.method} {endpoint.path}", error, or_new(request_id))


def failure(where: str, error: BaseException, request_id: bytes) -> HttpAnswer:
    """A bug of ours: all of it goes to the log, under the id that the caller is told."""
    log.error("%s failed", where, exc_info=error, extra={"request_id": request_id.decode()})
    return under(request_id, http_problem(500))
