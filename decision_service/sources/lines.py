"""Connections to one HTTP service: as many as may be, each in one request's hands at a time.

Each is an httpx transport of one connection, which is thrown away when its request did not end well. The
pool inside httpx's transport cannot be used as one: a request that is cancelled while others wait for a
connection leaves an entry that is neither open nor closed in it (encode/httpcore issue 1093), so that after
as many hedges and deadlines as there are connections, every request waits for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import httpx

Make = Callable[[], httpx.AsyncBaseTransport]


class Lines:
    """Connections, made when they are needed; the one that was used last is used next.

    Args:
        make: a transport that is used for one request at a time; or, when ``shared``, for all of them.
        most: requests under way at once.
        shared: one transport carries all, as HTTP/2 does.
    """

    def __init__(self, make: Make, most: int, *, shared: bool = False) -> None:
        self._make = make
        self._free = asyncio.Semaphore(most)
        self._idle: list[httpx.AsyncBaseTransport] = []
        self._shared = make() if shared else None

    @asynccontextmanager
    async def line(self) -> AsyncIterator[httpx.AsyncBaseTransport]:
        """One for one request, as soon as one is free. If the block raises, it is closed."""
        async with self._free:
            if self._shared is not None:
                yield self._shared
                return
            line = self._idle.pop() if self._idle else self._make()
            try:
                yield line
            except BaseException:
                await line.aclose()
                raise
            self._idle.append(line)

    async def close(self) -> None:
        """All that are idle; those in use are closed by whoever ends their requests."""
        async with AsyncExitStack() as stack:
            for line in (*self._idle, *(() if self._shared is None else (self._shared,))):
                stack.push_async_callback(line.aclose)
        self._idle.clear()
