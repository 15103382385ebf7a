"""Conversations with the store that cost little: several commands, one write, as many replies.

The client library takes a connection from its pool for every command, looks whether it is alive, reads
through a stream and watches the clock for each reply: a hundred µs a round trip. Here a connection is kept,
its bytes go straight to the parser, and one clock watches the whole exchange. The library opens it, with its
authentication and its encryption, and its pool closes it in the end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, cast

import hiredis
import redis.asyncio
from hiredis import pack_command
from redis._parsers import BaseParser  # the one table from the store's words to the library's errors
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as StoreConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as StoreTimeoutError

Command = tuple[str | bytes | int, ...]
Said = list[object] | BaseException
"""The reply to each command, or why there are none."""
Heard = Callable[[Said], None]

_NOT_YET = object()


class Lines:
    """As many connections as conversations are under way at once; belongs to one event loop.

    Args:
        pool: where they are from, and whose time limit for a reply holds for a whole exchange.
    """

    def __init__(self, pool: redis.asyncio.ConnectionPool) -> None:
        self._pool = pool
        self._timeout_s: float | None = self._pool.connection_kwargs.get("socket_timeout")
        self._idle: list[_Line] = []
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
            line, packed, count = self._idle.pop(), _packed(commands), len(commands)
            line.say(packed, count, self._timeout_s, partial(self._said, line, packed, count, heard))
        else:
            self._asides.tell(self.talk(commands), heard)

    def _said(self, line: _Line, packed: bytes, count: int, heard: Heard, said: Said) -> None:
        if isinstance(said, BaseException):
            self._asides.tell(self._after(said, line, packed, count), heard)
        else:
            self._idle.append(line)
            heard(said)

    async def _after(self, error: BaseException, line: _Line, packed: bytes, count: int) -> list[object]:
        await self._drop(line)
        if isinstance(error, StoreConnectionError):
            return await self._afresh(packed, count)
        raise error

    async def _afresh(self, packed: bytes, count: int) -> list[object]:
        """On a connection of its own; those that idle are as old as one that was closed, if one was."""
        while self._idle:
            await self._drop(self._idle.pop())
        return await self._exchange(await self._open(), packed, count)

    async def _open(self) -> _Line:
        connection: AbstractConnection = await self._pool.get_connection()  # type: ignore[no-untyped-call]  # theirs
        try:
            return _Line(connection)
        except BaseException:
            await connection.disconnect(nowait=True)
            await self._pool.release(connection)
            raise

    async def _exchange(self, line: _Line, packed: bytes, count: int) -> list[object]:
        try:
            replies = await line.exchange(packed, count, self._timeout_s)
        except BaseException:
            await self._drop(line)  # what it still may say belongs to nobody
            raise
        self._idle.append(line)
        return replies

    async def _drop(self, line: _Line) -> None:
        line.abort()
        await line.connection.disconnect(nowait=True)
        await self._pool.release(line.connection)


class _Line(asyncio.Protocol):
    """One connection, one exchange at a time.

    Args:
        connection: of the library, open; from now on it only closes it.
    """

    def __init__(self, connection: AbstractConnection) -> None:
        writer = connection._writer
        if writer is None:
            raise StoreConnectionError("the connection was closed as soon as it was opened")
        self.connection = connection
        self._transport = cast(asyncio.Transport, writer.transport)
        self._reader = hiredis.Reader(
            protocolError=StoreConnectionError, replyError=BaseParser.parse_error, notEnoughData=_NOT_YET
        )
        self._before = self._transport.get_protocol()
        self._transport.set_protocol(self)
        self._loop = asyncio.get_running_loop()
        self._replies: list[object] = []
        self._count = 0
        self._heard: Heard | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._lost = False

    def exchange(self, packed: bytes, count: int, timeout_s: float | None) -> asyncio.Future[list[object]]:
        """Send commands; the ``count`` replies to them."""
        done: asyncio.Future[list[object]] = self._loop.create_future()
        self.say(packed, count, timeout_s, partial(_settle, done))
        return done

    def say(self, packed: bytes, count: int, timeout_s: float | None, heard: Heard) -> None:
        """The same for who is told."""
        if self._lost or self._transport.is_closing():
            heard(StoreConnectionError("the store hung up"))
            return
        self._heard, self._replies, self._count = heard, [], count
        self._transport.write(packed)
        if timeout_s is not None:
            self._timer = self._loop.call_later(timeout_s, self._too_late, heard, timeout_s)

    def abort(self) -> None:
        """Close at once."""
        if self._timer is not None:
            self._timer.cancel()
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Called by asyncio."""
        if self._heard is None:
            self.abort()  # nobody asked
            return
        try:
            self._reader.feed(data)
            is_all = self._take()
        except RedisError as error:
            self._tell(error)
        else:
            if is_all:
                self._tell(self._replies)

    def _take(self) -> bool:
        """All replies that are whole; whether none is lacking.

        Raises:
            StoreConnectionError: one says that the store is no good just now, or this is no reply.
        """
        while len(self._replies) < self._count and (reply := self._reader.gets()) is not _NOT_YET:
            if isinstance(reply, hiredis.PushNotification):
                continue
            if isinstance(reply, StoreConnectionError):
                raise reply
            self._replies.append(reply)
        return len(self._replies) == self._count

    def _too_late(self, heard: Heard, timeout_s: float) -> None:
        if self._heard is heard:
            self._tell(StoreTimeoutError(f"no reply within {timeout_s:g} s"))

    def _tell(self, said: Said) -> None:
        """Once; whoever hears it may say something at once."""
        heard, self._heard, self._replies = self._heard, None, []
        if self._timer is not None:
            self._timer.cancel()
        if heard is not None:
            heard(said)

    def connection_lost(self, error: Exception | None) -> None:
        """Called by asyncio."""
        self._lost = True
        self._tell(StoreConnectionError(f"the store hung up: {error}"))
        self._before.connection_lost(error)  # the library may wait for it

    def pause_writing(self) -> None:
        """Called by asyncio: what is asked at once is bounded by who asks."""

    def resume_writing(self) -> None:
        """Called by asyncio."""

    def eof_received(self) -> None:
        """Called by asyncio: it closes."""


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


def _settle(done: asyncio.Future[list[object]], said: Said) -> None:
    if done.done():
        return
    if isinstance(said, BaseException):
        done.set_exception(said)
    else:
        done.set_result(said)
