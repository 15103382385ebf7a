"""The model container's HTTP: score, live, ready, metrics. Plain ASGI: a framework would add nothing."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager, nullcontext
from typing import Any

from msgspec import Struct

from sidecar.contracts.application import Application
from sidecar.contracts.crew_figures import Crew
from sidecar.contracts.ending import end
from sidecar.contracts.errors import BadAnswer, BadEvent, PolicyError, UnknownCatalogue
from sidecar.contracts.explaining import EXPLAIN_PATH
from sidecar.contracts.store import connect_reader_async
from sidecar.contracts.tracing import Tracers, flush, tracers_of
from sidecar.contracts.wire import SCORE_PATH, decode_request, encode
from sidecar.policy.held_arms import ArmTables
from sidecar.policy.pipeline import score
from sidecar.server.explainer import Explainer
from sidecar.server.metrics import Metrics, render
from sidecar.server.settings import SidecarSettings
from sidecar.server.tracing import trace_scored
from sidecar.server.weight_store import WeightStore

Message = MutableMapping[str, Any]  # as the ASGI specification has it
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

log = logging.getLogger("sidearm.sidecar")

_MSGPACK = b"application/msgpack"
_TEXT = b"text/plain; charset=utf-8"


class Answer(Struct, frozen=True):
    """What goes back."""

    status: int
    body: bytes
    media_type: bytes = _TEXT


class ScoreServer:
    """One application's scorer: weights, tables of arms, and what was counted."""

    def __init__(
        self,
        weights: WeightStore,
        settings: SidecarSettings,
        explainer: Explainer,
        crew: Crew | None = None,
        tracers: Tracers | None = None,
    ) -> None:
        self._weights = weights
        self._explainer = explainer
        self._settings = settings
        self._tables = ArmTables(settings.tables)
        self._metrics = Metrics()
        self._crew = crew
        self._tracers = tracers

    @property
    def max_body_bytes(self) -> int:
        """Of a request."""
        return self._settings.max_body_bytes

    async def figures(self) -> bytes:
        """What this process counted."""
        return render(self._metrics, self._weights, time.time()).encode()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """ASGI."""
        answer = await self._answer(scope["method"], scope["path"], receive)
        await send(
            {
                "type": "http.response.start",
                "status": answer.status,
                "headers": [
                    (b"content-type", answer.media_type),
                    (b"content-length", str(len(answer.body)).encode()),
                ],
            }
        )
        await send({"type": "http.response.body", "body": answer.body})

    async def _answer(self, method: str, path: str, receive: Receive) -> Answer:
        match method, path:
            case "POST", _ if path == SCORE_PATH:
                body = await read_body(receive, self._settings.max_body_bytes)
                return Answer(413, b"body too large") if body is None else self.score(body)
            case "POST", _ if path == EXPLAIN_PATH:
                body = await read_body(receive, self._settings.max_body_bytes)
                return Answer(413, b"body too large") if body is None else await self._explain(body)
            case "GET", "/livez":
                return Answer(200, b"ok")
            case "GET", "/readyz":
                return (
                    Answer(200, b"ok") if self._weights.ready else Answer(503, b"the store was not read yet")
                )
            case "GET", "/metrics":
                own = await self.figures()
                return Answer(200, await self._crew.with_others(own) if self._crew else own)
            case _:
                return Answer(404, b"POST /v1/score, GET /livez, /readyz, /metrics")

    def score(self, body: bytes) -> Answer:
        """The answer to a score request.

        No await between reading the weights and using them: a batch is scored with one version.
        """
        started = time.perf_counter()
        try:
            request = decode_request(body)
            held = self._weights
            response = score(request, held.current, self._tables, held.base, held.deployed.panels)
        except UnknownCatalogue as error:
            self._metrics.unknown_catalogue += 1
            return Answer(409, str(error).encode())
        except BadAnswer as error:
            self._metrics.violations += 1
            log.error("the model's answer breaks the out-schema: %s", error)
            return Answer(500, str(error).encode())
        except (BadEvent, PolicyError, UnicodeDecodeError) as error:
            self._metrics.refused += 1
            return Answer(422, str(error).encode())
        took_s = time.perf_counter() - started
        self._metrics.count(len(response.rows), took_s)
        if self._tracers is not None:
            trace_scored(self._tracers, request, response, took_s)
        return Answer(200, encode(response), _MSGPACK)

    async def _explain(self, body: bytes) -> Answer:
        try:
            return Answer(200, await self._explainer.answer(body), _MSGPACK)
        except (BadEvent, PolicyError) as error:
            return Answer(422, str(error).encode())


async def read_body(receive: Receive, limit_bytes: int) -> bytes | None:
    """The request's body; None as soon as it is longer than the limit, whatever the headers say."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return b""
        part = message.get("body", b"")
        size += len(part)
        if size > limit_bytes:
            return None
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


@asynccontextmanager
async def open_server(
    application: Application, settings: SidecarSettings, url: str, crew: Crew | None = None
) -> AsyncIterator[ScoreServer]:
    """The scorer of an application, following its weights until the block ends; one of a crew, if it is."""
    store = connect_reader_async(url, block_s=settings.block_ms / 1000)
    base = application.model.base
    weights = WeightStore(store, application.name, settings, base.feature if base else "")
    tracers = tracers_of("sidecar", os.environ)
    following = asyncio.create_task(weights.follow())
    try:
        explainer = Explainer(store, application.name, weights)
        server = ScoreServer(weights, settings, explainer, crew, tracers)
        async with crew.listening(server.figures) if crew else nullcontext():
            yield server
    finally:
        await end(following)
        await store.aclose()
        flush(tracers)
