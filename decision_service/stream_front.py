"""Requests on a stream, answered on the stream that they name: the same ``decide`` as behind HTTP.

An entry of ``{app}:requests`` has the fields ``request`` (the body of ``POST /v1/recommendations``),
``reply`` (the last part of ``{app}:reply:<name>``) and ``id`` (comes back as it is). An answer has ``id``,
``status`` and ``body``, as HTTP would have them.

Replicas share the entries as one consumer group. An entry is given up only once it was answered; what a
replica died over another one takes, and since the entry's own id is the decision's key, it decides nothing
twice. Nobody can have an answer written anywhere but to a reply stream: the connection's own user of the
store may write nothing else (``docs/models.md``), and whoever asks may only append to the one stream.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import socket
import time
from typing import TYPE_CHECKING, cast

import msgspec
from redis.exceptions import ResponseError

from decision_service.api.recommendations import RecommendationRequest
from decision_service.decide import decide
from decision_service.decoding import decode
from decision_service.errors import BodyTooLarge, ServiceError, TooSlow
from decision_service.problem import HttpAnswer, http_problem, problem_of
from sidecar.contracts import keys
from sidecar.contracts.store import AsyncClient, StoreError

if TYPE_CHECKING:
    from decision_service.service import Service

log = logging.getLogger("sidearm.decision_service")

_GROUP = "front"
_REPLY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}")
_AT_ONCE = 64
"""Entries under way at once: they share calls to the sidecar and to the log, as requests over HTTP do."""
_MOST_REQUESTS = 100_000
"""The oldest beyond them are dropped: who asks faster than is answered must not fill the store."""
_MOST_ANSWERS = 10_000
"""A reply stream holds about so many: who reads none is owed no more."""
REPLIES_KEPT_MS = 3_600_000
"""A reply stream that nobody was answered on for so long is gone."""
_LEFT_MS = 30_000
"""An entry that a replica has had for so long was left behind."""
_MOST_REPLIES = 1_000
"""Reply streams in use at once: each may hold some megabytes."""
_RETRY_S = 0.25
_MOST_ID = 256

_encode = msgspec.json.Encoder().encode
_request = msgspec.json.Decoder(RecommendationRequest)
Fields = dict[bytes, bytes]
Streams = list[tuple[bytes, list[tuple[bytes, Fields]]]]
Claimed = tuple[bytes, list[tuple[bytes, Fields | None]]]


class StreamFront:
    """Answers the requests of one application's stream; belongs to one event loop.

    Args:
        service: decides.
        client: a connection of its own, whose socket timeout is longer than ``block_ms``.
        block_ms: how long one blocking read waits.
        patience_s: an entry that lay there for longer is refused: whoever asked has gone.
    """

    def __init__(self, service: Service, client: AsyncClient, block_ms: int, patience_s: float) -> None:
        self._service = service
        self._client = client
        self._block_ms = block_ms
        self._patience_ms = round(patience_s * 1000)
        self._app = service.application.name
        self._requests = keys.requests(self._app)
        self._name = f"{socket.gethostname()}:{os.getpid()}"
        self._looked_at = 0.0
        self._replies: dict[str, float] = {}
        """Name of a reply stream to when it was used last."""

    async def serve(self) -> None:
        """Answer for ever; outages of the store are waited out."""
        while True:
            try:
                await self._begin()
                while True:
                    entries = await self._left_behind() or await self._fresh()
                    await _whole(
                        asyncio.gather(*[self._answer(entry_id, fields) for entry_id, fields in entries])
                    )
                    if len(entries) == _AT_ONCE:  # there may be more than anybody will wait for
                        await self._client.xtrim(self._requests, maxlen=_MOST_REQUESTS, approximate=True)
            except (StoreError, OSError) as error:
                log.debug("stream front: %s: %s", type(error).__name__, error)
                await asyncio.sleep(_RETRY_S)

    async def _begin(self) -> None:
        try:
            await self._client.xgroup_create(self._requests, _GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):  # it is there, as it should be
                raise

    async def _fresh(self) -> list[tuple[bytes, Fields]]:
        """The next entries, as many as there are; waits when there are none."""
        found = await self._client.xreadgroup(
            _GROUP, self._name, {self._requests: ">"}, count=_AT_ONCE, block=self._block_ms
        )
        ((_, entries),) = cast("Streams", found) or ((b"", []),)
        return entries

    async def _left_behind(self) -> list[tuple[bytes, Fields]]:
        """What a replica that died had begun; looked at once in a while."""
        now_s = asyncio.get_running_loop().time()
        if now_s - self._looked_at < _LEFT_MS / 1000:
            return []
        self._looked_at = now_s
        found = await self._client.xautoclaim(
            self._requests, _GROUP, self._name, min_idle_time=_LEFT_MS, count=_AT_ONCE
        )
        return [(one, fields) for one, fields in cast("Claimed", found)[1] if fields]

    async def _answer(self, entry_id: bytes, fields: Fields) -> None:
        """Decide, write the answer, and give the entry up, in this order."""
        started = time.perf_counter()
        reply, asked_id = fields.get(b"reply", b"").decode(errors="replace"), fields.get(b"id", b"")
        pipe = self._client.pipeline(transaction=False)
        if self._may_answer(reply) and len(asked_id) <= _MOST_ID:
            answer = await self._decided(entry_id, fields.get(b"request", b""))
            where = keys.reply(self._app, reply)
            said: dict[str | bytes, str | bytes | int] = {
                "id": asked_id,
                "status": answer.status,
                "body": answer.body,
            }
            pipe.xadd(where, said, maxlen=_MOST_ANSWERS, approximate=True)  # type: ignore[arg-type]
            pipe.pexpire(where, REPLIES_KEPT_MS)
            self._service.telemetry.answered("stream", answer.status, time.perf_counter() - started)
        else:
            log.warning("a request on the stream names no place that its answer may be put: %r", reply[:80])
            self._service.telemetry.answered("stream", 422, time.perf_counter() - started)
        pipe.xack(self._requests, _GROUP, entry_id)
        pipe.xdel(self._requests, entry_id)
        await pipe.execute()

    def _may_answer(self, reply: str) -> bool:
        """Whether it is a name, and not one too many."""
        now_s = asyncio.get_running_loop().time()
        if reply not in self._replies and len(self._replies) >= _MOST_REPLIES:
            kept_s = REPLIES_KEPT_MS / 1000
            self._replies = {name: at for name, at in self._replies.items() if now_s - at < kept_s}
        if not _REPLY.fullmatch(reply) or len(self._replies.keys() | {reply}) > _MOST_REPLIES:
            return False
        self._replies[reply] = now_s
        return True

    async def _decided(self, entry_id: bytes, body: bytes) -> HttpAnswer:
        """As HTTP would answer."""
        try:
            request = self._checked(entry_id, body)
            return HttpAnswer(201, _encode(await decide(self._service.decider, request)))
        except ServiceError as error:
            return problem_of(error)
        except Exception:
            log.exception("a request on the stream failed")
            return http_problem(500)

    def _checked(self, entry_id: bytes, body: bytes) -> RecommendationRequest:
        """The request; without a key of its caller's, the entry's id is its key.

        Raises:
            BadRequest: it is none, or too long.
            TooSlow: it lay there for too long.
        """
        limit = self._service.settings.max_body_bytes
        if len(body) > limit:
            raise BodyTooLarge(limit)
        waited_ms = self._service.decider.now_ms() - int(entry_id.split(b"-")[0])
        if waited_ms > self._patience_ms:
            raise TooSlow(f"it lay in the stream for {waited_ms / 1000:.1f} s")
        request = decode(_request, body)
        if request.decision_id is not None:
            return request
        return msgspec.structs.replace(request, decision_id=f"stream:{entry_id.decode()}")


async def _whole(work: asyncio.Future[list[None]]) -> None:
    """See ``work`` to its end, also when it is time to stop: what was begun is answered.

    Raises:
        CancelledError: it was time to stop, and the work is done.
    """
    stopping = False
    while not work.done():
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            stopping = True
    if stopping:
        raise asyncio.CancelledError
