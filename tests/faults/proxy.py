"""Between the platform and its store: a Unix socket that forwards, and on demand loses, resets or holds back.

What most proxies lack is the middle one of these: the request is carried out, and its answer never comes.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from pathlib import Path

_CHUNK_BYTES = 256 * 1024


class Proxy:
    """Runs in a thread of its own.

    Attributes:
        lose_replies: share of replies that are dropped after the request was carried out.
        reset: share of requests that are dropped with their connection.
        delay_s: how long a reply is held back.
        lost: how many replies were dropped so far.
        resets: how many requests.
    """

    def __init__(self, listen: Path, store: Path, seed: int):
        self.url = f"unix://{listen}"
        self.lose_replies = self.reset = self.delay_s = 0.0
        self.lost = self.resets = self._cuts = 0
        self._listen, self._store, self._rng = listen, store, random.Random(seed)
        self._loop = asyncio.new_event_loop()
        self._open = asyncio.Event()
        self._open.set()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._ready.wait(10)

    def hold_replies(self) -> None:
        """No reply leaves any more; when this returns, none is on its way either."""
        asyncio.run_coroutine_threadsafe(self._set(False), self._loop).result(10)

    def drop_held(self) -> None:
        """What was held is lost with its connection, as in a power cut; others leave again."""
        asyncio.run_coroutine_threadsafe(self._set(True), self._loop).result(10)

    def close(self) -> None:
        """End it."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    async def _set(self, is_open: bool) -> None:
        if is_open:
            self._cuts += 1
            self._open.set()
        else:
            self._open.clear()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_unix_server(self._serve, str(self._listen)))
        self._ready.set()
        self._loop.run_forever()
        server.close()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.run_until_complete(asyncio.sleep(0))  # a transport's socket is closed a turn later
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(OSError):
                await self._between(reader, writer)
        finally:
            writer.close()

    async def _between(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_store, to_store = await asyncio.open_unix_connection(str(self._store))
        ways = [
            asyncio.ensure_future(self._requests(reader, to_store)),
            asyncio.ensure_future(self._replies(from_store, writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            to_store.close()

    async def _requests(self, reader: asyncio.StreamReader, to_store: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(_CHUNK_BYTES):
                if self._rng.random() < self.reset:
                    self.resets += 1
                    return
                to_store.write(data)
                await to_store.drain()

    async def _replies(self, from_store: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await from_store.read(_CHUNK_BYTES):
                if self._rng.random() < self.lose_replies:
                    self.lost += 1
                    return
                cuts = self._cuts
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                await self._open.wait()
                if cuts != self._cuts:
                    return
                writer.write(data)
                await writer.drain()
