"""A connection of callers: uvicorn's, with less to do for each request.

An answer is one write. Who idles is found by looking at all connections now and then, not by a timer each.
All else, and every answer that is not made of one piece, is as uvicorn does it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from decision_service.problem import http_problem
from decision_service.responding import head_of
from decision_service.same_head import Head, known_head

if TYPE_CHECKING:
    from uvicorn.server import ServerState

    from decision_service.asgi import Scope

Express = Callable[[Any, bytes, Callable[..., bool], Any], bool]
ANSWER = "sidearm.answer"
"""In a request's scope: how to answer it at once."""
_LINES = {
    status.value: b"HTTP/1.1 %d %b\r\n" % (status.value, status.phrase.encode()) for status in HTTPStatus
}
_LOOK_S = 0.5
_INVALID = "Invalid HTTP request received."
_MOST_LESSONS = 8
"""Heads of one caller that are kept, one after the other: whoever says another one each time is read."""


class Cycle(RequestResponseCycle):
    """One request and its answer."""

    async def run_asgi(self, app: Any) -> None:  # noqa: ANN401 - an application, as theirs has it
        """Called in a task of its own.

        As long as it runs, the application knows how to answer at once; a scope that knew it for longer would
        be a ring of garbage with every request.
        """
        self.scope[ANSWER] = self.answer  # type: ignore[literal-required]  # ours
        try:
            await super().run_asgi(app)
        finally:
            self.scope.pop(ANSWER, None)  # type: ignore[misc]  # likewise

    def answer(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> bool:
        """Send all of it; False where it has to go the longer way."""
        if self.flow.write_paused or self.response_started or self.scope["method"] == "HEAD":
            return False
        if self.disconnected:
            return True
        self.response_started = self.response_complete = True
        self.waiting_for_100_continue = False
        lines = [_LINES[status]]
        for name, value in (*self.default_headers, *headers):
            lines += (name, b": ", value, b"\r\n")
            if name == b"connection":
                self.keep_alive = False
        if not self.keep_alive and (b"connection", b"close") not in headers:
            lines.append(b"connection: close\r\n")
        lines += (b"\r\n", body)
        self.transport.write(b"".join(lines))
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()
        return True


class Connection(HttpToolsProtocol):
    """Of one caller; belongs to one event loop."""

    _idle_since_s: float | None = None
    _held: Cycle | None = None
    """A request whose head has come, and whose body may come with it."""
    _is_between = True
    """No request has begun that is not all here."""
    _head: Head | None = None
    """Of a request that was answered at once."""
    _is_at_once = False
    """The last request that was read went to be answered at once."""
    _lessons = _MOST_LESSONS

    def data_received(self, data: bytes) -> None:
        """Called by asyncio."""
        begins = self._is_between
        if begins and self._head is not None and self._take_known(self._head, data):
            return
        super().data_received(data)
        if self._held is not None:  # its body takes a while
            self._start_held()
        elif begins and self._lessons and self._is_at_once and self.cycle.keep_alive:
            self._lessons -= 1
            self._head = known_head(data, cast("Scope", self.scope))

    def _take_known(self, head: Head, data: bytes) -> bool:
        """Whether ``data`` is a request with that head and is answered at once; else it is to be read."""
        known, before = head.again(data), self.cycle
        if known is None or not (before is None or before.response_complete):
            return False
        scope, body = known
        self._idle_since_s, self.expect_100_continue = None, False
        scope["state"] = self.app_state.copy()
        self.cycle = cycle = self._cycle_of(scope, keep_alive=True)
        try:
            taken = express(self.app, scope, body, cycle.answer, cycle.send)
        except Exception:  # as the parser has it, and not once more: it may have begun
            self.logger.exception(_INVALID)
            self.send_400_response(_INVALID)
            return True
        if not taken:
            self.cycle = before
        return taken

    def _start_held(self) -> None:
        cycle, self._held = self._held, None
        if cycle is not None and not self.transport.is_closing():
            self._start_asgi_task(cycle, self.app)

    def on_message_begin(self) -> None:
        """Called by the parser."""
        self._is_between = self._is_at_once = False
        super().on_message_begin()

    def on_message_complete(self) -> None:
        """Called by the parser."""
        self._is_between = True
        super().on_message_complete()
        held = self._held
        if held is not None:
            if express(self.app, held.scope, bytes(held.body), held.answer, held.send):
                self._held, self._is_at_once = None, True
            else:
                self._start_held()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as theirs
        """Called by asyncio."""
        super().connection_made(transport)
        _watch_idlers(self.loop, self.server_state, self.timeout_keep_alive)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by asyncio."""
        super().connection_lost(exc)
        if self.cycle is not None:  # it would keep us, and we it: a ring of garbage
            self.cycle.on_response = _nobody_is_told

    def _unset_keepalive_if_required(self) -> None:
        self._idle_since_s = None

    def on_headers_complete(self) -> None:
        """Called by the parser."""
        version, url = self.parser.get_http_version(), self.url
        if version != "1.1" or self.parser.should_upgrade() or not _is_plain(url):
            super().on_headers_complete()
            return
        scope = self.scope
        scope["method"] = self.parser.get_method().decode("ascii")
        path, _, query = url.partition(b"?")
        scope["path"], scope["raw_path"], scope["query_string"] = path.decode("ascii"), path, query
        before = self.cycle
        self.cycle = self._cycle_of(scope, keep_alive=self.parser.should_keep_alive())
        if before is None or before.response_complete:
            if self.expect_100_continue:
                self._start_asgi_task(self.cycle, self.app)
            else:
                self._held = self.cycle
        else:  # the answer before it comes first
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))

    def _cycle_of(self, scope: Any, *, keep_alive: bool) -> Cycle:  # noqa: ANN401 - as ASGI
        return Cycle(
            scope=scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=keep_alive,
            on_response=self.on_response_complete,
        )

    def send_400_response(self, msg: str) -> None:
        """Called for what is no HTTP: a problem, as all refusals are, and the end of the connection."""
        answer = http_problem(400, msg)
        head = b"".join(b"%b: %b\r\n" % header for header in head_of(answer, closing=True))
        self.transport.write(_LINES[400] + head + b"\r\n" + answer.body)
        self.transport.close()

    def on_response_complete(self) -> None:
        """Called when a request was answered."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        else:
            self._idle_since_s = self.loop.time()

    def close_if_idle(self, before_s: float) -> None:
        """Hang up on who has asked nothing since ``before_s``."""
        if (
            self._idle_since_s is not None
            and self._idle_since_s <= before_s
            and not self.transport.is_closing()
        ):
            self.transport.close()


def _nobody_is_told() -> None:
    """Of an answer to who has hung up."""


def express(app: object, scope: Any, body: bytes, answer: Callable[..., bool], send: Any) -> bool:  # noqa: ANN401 - as ASGI
    """Whether ``app`` answers a request that is all here without a task of its own."""
    at_once: Express | None = getattr(app, "express", None)
    return at_once is not None and at_once(scope, body, answer, send)


def _is_plain(url: bytes) -> bool:
    """A path that stands for itself, and a query at most."""
    return url[:1] == b"/" and b"%" not in url and b"#" not in url and url.isascii()


_watched: set[int] = set()


def _watch_idlers(loop: asyncio.AbstractEventLoop, state: ServerState, patience_s: float) -> None:
    """As long as there are connections, look at them now and then."""
    if id(state) in _watched:
        return
    _watched.add(id(state))

    def look() -> None:
        before_s = loop.time() - patience_s
        for one in tuple(state.connections):
            if isinstance(one, Connection):
                one.close_if_idle(before_s)
        if state.connections:
            loop.call_later(_LOOK_S, look)
        else:
            _watched.discard(id(state))

    loop.call_later(_LOOK_S, look)
