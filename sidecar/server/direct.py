"""The short way of a score request: what the service sends is answered where it arrives.

An HTTP server makes a task, some turns of the event loop and some hundred calls of a request before anybody
scores it, which a decision that comes alone pays for by itself. The service's requests all
begin with the same bytes and nearly always come whole; those are answered in the turn in which they arrive,
without a parser. All else goes its ordinary way through uvicorn, on the same connection.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, cast

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from sidecar.contracts.corked import Corked
from sidecar.contracts.wire import SCORE_HEAD, body_after
from sidecar.server.app import Answer, ScoreServer

log = logging.getLogger("sidearm.sidecar")


class Direct(HttpToolsProtocol):
    """uvicorn's connection, which sends head and body of an answer together, with the short way in front.

    Args:
        server: scores.
        config: uvicorn's, likewise what follows.
    """

    def __init__(
        self,
        server: ScoreServer,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._server = server
        self._limit_bytes = server.max_body_bytes
        self._in_message = False
        """The parser is in the midst of a request."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as theirs
        """Called by asyncio."""
        self._corked = Corked(transport, self.loop)
        super().connection_made(cast(asyncio.Transport, self._corked))

    def data_received(self, data: bytes) -> None:
        """Called by asyncio."""
        body = body_of(data, self._limit_bytes) if self._is_free else None
        if body is None:
            super().data_received(data)
            return
        self._unset_keepalive_if_required()
        self._corked.write_now(_as_http(self._answer(body)))

    @property
    def _is_free(self) -> bool:
        """Nothing that came before is still on its way."""
        return (
            not self._in_message
            and (self.cycle is None or self.cycle.response_complete)
            and not self.flow.write_paused
        )

    def _answer(self, body: bytes) -> Answer:
        try:
            return self._server.score(body)
        except Exception:
            log.exception("a score request failed")
            return Answer(500, b"Internal Server Error")

    def on_message_begin(self) -> None:
        """Called by the parser."""
        self._in_message = True
        super().on_message_begin()

    def on_message_complete(self) -> None:
        """Called by the parser."""
        self._in_message = False
        super().on_message_complete()


def body_of(data: bytes, limit_bytes: int) -> bytes | None:
    r"""The body, if these bytes are one score request as the service sends it, whole and not too long.

    >>> body_of(SCORE_HEAD + b"3\r\n\r\nabc", 10), body_of(SCORE_HEAD + b"4\r\n\r\nabc", 10)
    (b'abc', None)
    """
    body = body_after(SCORE_HEAD, data)
    return body if body is not None and len(body) <= limit_bytes else None


def _as_http(answer: Answer) -> bytes:
    return b"%bcontent-type: %b\r\ncontent-length: %d\r\n\r\n%b" % (
        STATUS_LINE[answer.status],
        answer.media_type,
        len(answer.body),
        answer.body,
    )
