"""Conversations with the store that cost little: several commands, one write, as many replies.

The client library takes a connection from its pool for every command, looks whether it is alive, reads
through a stream and watches the clock for each reply: a hundred µs a round trip. Here a connection is kept,
its bytes go straight to the parser, and one clock watches the whole exchange. The library opens it, with its
authentication and its encryption, and its pool closes it in the end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from functools import partial
from typing import Any

import redis.asyncio
from hiredis import pack_command
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as StoreConnectionError

from sidecar.contracts.line import Heard, Line, Said

Command = tuple[str | bytes | int, ...]


class Lines:
    """As many connections as conversations are under way at once; belongs to one event loop.

    Args:
        pool: where they are from, and whose time limit for a reply holds for a whole exchange.
    """

    def __init__(self, pool: redis.asyncio.ConnectionPool) -> None:
        self._pool = pool
        self._timeout_s: float | None = self._pool.connection_kwargs.get("socket_timeout")
        self._idle: list[Line] = []
        self._asides = Asides()

    async def talk(self, commands: Sequence[Command]) -> list[object]:
        """The reply to each command, or the error that it is.

        Only for what may be asked twice: a connection that idled may have been closed meanwhile, and then a
        fresh one is tried.

        Raises:
            StoreConnectionError, StoreTimeoutError: no reply; the commands may have been carried out.
        """
        if not commands:
            return []
        packed = _packed(commands)
        if self._idle:
            try:
                return await self._exchange(self._idle.pop(), packed, len(commands))
            except StoreConnectionError:
                pass
        return await self._afresh(packed, len(commands))

    def ask(self, commands: Sequence[Command], heard: Heard) -> None:
        """As :meth:`talk`, for who is told and does not wait: with no task as long as all is well.

        Args:
            commands: at least one.
            heard: is told once, perhaps before this returns; must not raise.
        """
        if self._idle:
            packed, count = _packed(commands), len(commands)
            line = self._idle.pop()
            line.say(packed, count, self._timeout_s, partial(self._said, line, packed, count, heard))
        else:
            self._asides.tell(self.talk(commands), heard)

    def _said(self, line: Line, packed: bytes, count: int, heard: Heard, said: Said) -> None:
        if isinstance(said, BaseException):
            self._asides.tell(self._after(said, line, packed, count), heard)
        else:
            self._idle.append(line)
            heard(said)

    async def _after(self, error: BaseException, line: Line, packed: bytes, count: int) -> list[object]:
        await self._drop(line)
        if isinstance(error, StoreConnectionError):
            return await self._afresh(packed, count)
        raise error

    async def _afresh(self, packed: bytes, count: int) -> list[object]:
        """On a connection of its own; those that idle are as old as one that was closed, if one was."""
        while self._idle:
            await self._drop(self._idle.pop())
        return await self._exchange(await self._open(), packed, count)

    async def _open(self) -> Line:
        connection: AbstractConnection = await self._pool.get_connection()  # type: ignore[no-untyped-call]  # theirs
        try:
            return Line(connection)
        except BaseException:
            await connection.disconnect(nowait=True)
            await self._pool.release(connection)
            raise

    async def _exchange(self, line: Line, packed: bytes, count: int) -> list[object]:
        try:
            replies = await line.exchange(packed, count, self._timeout_s)
        except BaseException:
            await self._drop(line)  # what it still may say belongs to nobody
            raise
        self._idle.append(line)
        return replies

    async def _drop(self, line: Line) -> None:
        line.abort()
        await line.connection.disconnect(nowait=True)
        await self._pool.release(line.connection)


class Asides:
    """Conversations that go on in a task of their own, for who does not wait for them."""

    def __init__(self) -> None:
        self._tasks = set[asyncio.Task[list[object]]]()  # a loop keeps none alive

    def tell(self, talk: Coroutine[Any, Any, list[object]], heard: Heard) -> None:
        """``heard`` is told what comes of it."""
        task = asyncio.get_running_loop().create_task(talk)
        self._tasks.add(task)
        task.add_done_callback(partial(self._has_ended, heard))

    def _has_ended(self, heard: Heard, task: asyncio.Task[list[object]]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            heard(asyncio.CancelledError())
        else:
            heard(task.exception() or task.result())


def _packed(commands: Sequence[Command]) -> bytes:
    return b"".join([pack_command(command) for command in commands])  # type: ignore[arg-type]  # of any length
