"""Entries of an application's stream of requests: read as one of a group, answered, and given up.

An entry belongs to a replica from when it reads it until it gives it up. What it had when the store failed it
takes up again at once; what it died over another replica takes after a while.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Sequence
from typing import NamedTuple, cast

from redis.exceptions import ResponseError

from decision_service.batcher import Batcher
from sidecar.contracts import keys
from sidecar.contracts.store import AsyncClient

REPLIES_KEPT_MS = 3_600_000
"""A reply stream that nobody was answered on for so long is gone."""
AT_ONCE = 64
"""Entries under way at once: they share calls to the sidecar and to the log, as requests over HTTP do."""
_GROUP = "front"
_MOST_REQUESTS = 100_000
"""The oldest beyond them are dropped: who asks faster than is answered must not fill the store."""
_MOST_ANSWERS = 10_000
"""A reply stream holds about so many: who reads none is owed no more."""
_LEFT_MS = 30_000
"""An entry that a replica has had for so long was left behind."""

Fields = dict[bytes, bytes]
Entry = tuple[bytes, Fields]
Streams = list[tuple[bytes, list[tuple[bytes, Fields | None]]]]
Claimed = tuple[bytes, list[tuple[bytes, Fields | None]]]
Said = dict[str | bytes, str | bytes | int]


class Answered(NamedTuple):
    """An entry that is over."""

    entry_id: bytes
    reply: str
    """Name of the stream that its answer goes to; empty: it has none."""
    said: Said


class Entries:
    """Of one application, for one replica; belongs to one event loop.

    Args:
        client: a connection of its own, whose socket timeout is longer than ``block_ms``.
        app: the application's name.
        block_ms: how long one blocking read waits.
    """

    def __init__(self, client: AsyncClient, app: str, block_ms: int) -> None:
        self._client = client
        self._app = app
        self._block_ms = block_ms
        self._requests = keys.requests(app)
        self._name = f"{socket.gethostname()}:{os.getpid()}"
        self._looked_at = 0.0
        self._has_own = True
        self._writer = Batcher(self._write, max_batch=AT_ONCE)

    async def begin(self) -> None:
        """At the start, and after the store failed.

        Raises:
            StoreError: it fails still.
        """
        self._has_own = True
        try:
            await self._client.xgroup_create(self._requests, _GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):  # it is there, as it should be
                raise

    async def some(self) -> list[Entry]:
        """What is to be answered next; waits when there is nothing.

        Raises:
            StoreError: the store failed.
        """
        return await self._own() or await self._left_behind() or await self._read(">", self._block_ms)

    async def finish(self, answered: Answered) -> None:
        """Write the answer, and give the entry up; those that are ready together go in one round trip.

        Raises:
            StoreError: the store failed: all of it may have happened, or nothing.
        """
        await self._writer.ask(answered)

    async def trim(self) -> None:
        """Drop what nobody will wait for.

        Raises:
            StoreError: the store failed.
        """
        await self._client.xtrim(self._requests, maxlen=_MOST_REQUESTS, approximate=True)

    async def _own(self) -> list[Entry]:
        """What this replica had when the store failed."""
        found = await self._read("0", None) if self._has_own else []
        self._has_own = bool(found)
        return found

    async def _read(self, after: str, block_ms: int | None) -> list[Entry]:
        found = await self._client.xreadgroup(
            _GROUP, self._name, {self._requests: after}, count=AT_ONCE, block=block_ms
        )
        ((_, entries),) = cast("Streams", found) or ((b"", []),)
        return await self._there(entries)

    async def _left_behind(self) -> list[Entry]:
        """What a replica that died had begun; looked at once in a while."""
        now_s = asyncio.get_running_loop().time()
        if now_s - self._looked_at < _LEFT_MS / 1000:
            return []
        self._looked_at = now_s
        found = await self._client.xautoclaim(
            self._requests, _GROUP, self._name, min_idle_time=_LEFT_MS, count=AT_ONCE
        )
        return await self._there(cast("Claimed", found)[1])

    async def _there(self, entries: Sequence[tuple[bytes, Fields | None]]) -> list[Entry]:
        """Those that were not dropped meanwhile; the others are given up."""
        if gone := [entry_id for entry_id, fields in entries if not fields]:
            await self._client.xack(self._requests, _GROUP, *gone)
        return [(entry_id, fields) for entry_id, fields in entries if fields]

    async def _write(self, answered: Sequence[Answered]) -> list[None]:
        pipe = self._client.pipeline(transaction=False)
        for one in answered:
            if one.reply:
                where = keys.reply(self._app, one.reply)
                pipe.xadd(where, one.said, maxlen=_MOST_ANSWERS, approximate=True)  # type: ignore[arg-type]  # bytes
        for reply in {one.reply for one in answered if one.reply}:
            pipe.pexpire(keys.reply(self._app, reply), REPLIES_KEPT_MS)
        ids = [one.entry_id for one in answered]
        pipe.xack(self._requests, _GROUP, *ids)
        pipe.xdel(self._requests, *ids)
        await pipe.execute()
        return [None] * len(answered)
