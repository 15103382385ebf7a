"""Requests on a stream, answered on the stream that they name: the same ``decide`` as behind HTTP.

An entry of ``{app}:requests`` has the fields ``request`` (the body of ``POST /v1/recommendations``),
``reply`` (the last part of ``{app}:reply:<name>``) and ``id`` (comes back as it is). An answer has ``id``,
``status`` and ``body``, as HTTP would have them.

Replicas share the entries as one consumer group (``stream_entries.py``). An entry is given up only once it
was answered; what a replica died over another one takes, and since the entry's own id is the decision's key,
it decides nothing twice. Nobody can have an answer written anywhere but to a reply stream: the connection's
own user of the store may write nothing else (``docs/models.md``), and whoever asks may only append to the one
stream.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from typing import TYPE_CHECKING, cast

import msgspec

from decision_service.api.recommendations import RecommendationRequest
from decision_service.decoding import decode
from decision_service.errors import BodyTooLarge, ServiceError, TooSlow
from decision_service.problem import HttpAnswer, http_problem, problem_of
from decision_service.stream_entries import AT_ONCE, REPLIES_KEPT_MS, Answered, Entries, Fields, Said
from sidecar.contracts.store import AsyncClient, StoreError

if TYPE_CHECKING:
    from decision_service.service import Service

log = logging.getLogger("sidearm.decision_service")

_REPLY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}")
_MOST_REPLIES = 1_000
"""Reply streams in use at once: each may hold some megabytes."""
_RETRY_S = 0.25
_MOST_ID = 256

_encode = msgspec.json.Encoder().encode
_request = msgspec.json.Decoder(RecommendationRequest)


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
        self._patience_ms = round(patience_s * 1000)
        self._entries = Entries(client, service.application.name, block_ms)
        self._complained = False
        self._replies: dict[str, float] = {}
        """Name of a reply stream to when it was used last."""

    async def serve(self) -> None:
        """Answer for ever; outages of the store are waited out."""
        while True:
            try:
                await self._entries.begin()
                while True:
                    entries = await self._entries.some()
                    await _whole(asyncio.gather(*[self._answer(*entry) for entry in entries]))
                    if len(entries) == AT_ONCE:  # there may be more than anybody will wait for
                        await self._entries.trim()
            except (StoreError, OSError) as error:
                log.debug("stream front: %s: %s", type(error).__name__, error)
                await asyncio.sleep(_RETRY_S)

    async def _answer(self, entry_id: bytes, fields: Fields) -> None:
        """Decide, write the answer, and give the entry up, in this order."""
        started = time.perf_counter()
        reply, asked_id = fields.get(b"reply", b"").decode(errors="replace"), fields.get(b"id", b"")
        if self._may_answer(reply) and len(asked_id) <= _MOST_ID:
            answer = await self._decided(entry_id, fields.get(b"request", b""))
            status, said = answer.status, {"id": asked_id, "status": answer.status, "body": answer.body}
        else:
            self._complain(reply)
            status, reply, said = 422, "", {}
        self._service.telemetry.answered("stream", status, time.perf_counter() - started)
        await self._entries.finish(Answered(entry_id, reply, cast("Said", said)))

    def _may_answer(self, reply: str) -> bool:
        """Whether it is a name, and not one too many."""
        if not _REPLY.fullmatch(reply):
            return False
        now_s = asyncio.get_running_loop().time()
        if reply not in self._replies and len(self._replies) >= _MOST_REPLIES:
            kept_s = REPLIES_KEPT_MS / 1000
            self._replies = {name: at for name, at in self._replies.items() if now_s - at < kept_s}
            if len(self._replies) >= _MOST_REPLIES:
                return False
        self._replies[reply] = now_s
        return True

    def _complain(self, reply: str) -> None:
        """Once is enough: whoever asks so may ask so again and again."""
        level = logging.DEBUG if self._complained else logging.WARNING
        self._complained = True
        log.log(level, "a request on the stream names no place that its answer may be put: %r", reply[:80])

    async def _decided(self, entry_id: bytes, body: bytes) -> HttpAnswer:
        """As HTTP would answer."""
        try:
            request = self._checked(entry_id, body)
            return HttpAnswer(201, _encode(await self._service.deciding.ask(request)))
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
        CancelledError: it was time to stop, and the work is done, or failed.
    """
    stopping = False
    while not work.done():
        try:
            await asyncio.wait([work])
        except asyncio.CancelledError:
            stopping = True
    if stopping:
        _ = work.cancelled() or work.exception()  # nobody is there to hear of it
        raise asyncio.CancelledError
    work.result()
