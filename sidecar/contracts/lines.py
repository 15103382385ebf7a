"""Conversations with the store that cost little: several commands, one write, as many replies.

The client library takes a connection from its pool for every command, looks whether it is alive, and watches
the clock for each reply: a hundred µs a round trip. Here a connection is kept, and one clock watches
the whole exchange. It is the library's own connection, with its authentication and its parser, and belongs to
its pool, which closes it in the end.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence

import redis.asyncio
from hiredis import pack_command
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as StoreConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as StoreTimeoutError

Command = tuple[str | bytes | int, ...]


class Lines:
    """As many connections as conversations are under way at once; belongs to one event loop.

    Args:
        client: whose pool they are from, and whose time limit for a reply holds for a whole exchange.
    """

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._pool = client.connection_pool
        self._timeout_s: float | None = self._pool.connection_kwargs.get("socket_timeout")
        self._idle: list[AbstractConnection] = []

    async def talk(self, commands: Sequence[Command]) -> list[object]:
        """The reply to each command, or the error that it is.

        Only for what may be asked twice: a connection that idled may have been closed meanwhile, and then a
        fresh one is tried.

        Raises:
            StoreConnectionError, StoreTimeoutError: no reply; the commands may have been carried out.
        """
        packed = b"".join([pack_command(command) for command in commands])  # type: ignore[arg-type]  # of any length
        if self._idle:
            try:
                return await self._exchange(self._idle.pop(), packed, len(commands))
            except StoreConnectionError:
                while self._idle:  # as old as that one
                    await self._drop(self._idle.pop())
        fresh: AbstractConnection = await self._pool.get_connection()  # type: ignore[no-untyped-call]
        return await self._exchange(fresh, packed, len(commands))

    async def _exchange(self, line: AbstractConnection, packed: bytes, count: int) -> list[object]:
        try:
            async with asyncio.timeout(self._timeout_s):
                await line.send_packed_command(packed, check_health=False)
                replies = [await _reply(line) for _ in range(count)]
        except TimeoutError:
            await self._drop(line)
            raise StoreTimeoutError(f"no reply within {self._timeout_s:g} s") from None
        except BaseException:
            await self._drop(line)  # what it still may say belongs to nobody
            raise
        self._idle.append(line)
        return replies

    async def _drop(self, line: AbstractConnection) -> None:
        await line.disconnect(nowait=True)
        await self._pool.release(line)


async def _reply(line: AbstractConnection) -> object:
    try:
        return await line.read_response(timeout=math.inf)
    except ResponseError as error:
        return error
