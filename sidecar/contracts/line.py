"""One of the connections that :mod:`sidecar.contracts.lines` keeps: bytes out, replies in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from math import inf
from typing import cast

import hiredis
from redis._parsers import BaseParser  # the one table from the store's words to the library's errors
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as StoreConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as StoreTimeoutError

Said = list[object] | BaseException
"""The reply to each command, or why there are none."""
Heard = Callable[[Said], None]

_NOT_YET = object()
_NO_REPLY = (hiredis.PushNotification, StoreConnectionError)


class Line(asyncio.Protocol):
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
        self._rings_at_s = self._late_at_s = self._timeout_s = inf
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
        self._watch(inf if timeout_s is None else timeout_s)

    def _watch(self, timeout_s: float) -> None:
        """One timer for many exchanges: nearly all of them are over long before it rings."""
        self._timeout_s, self._late_at_s = timeout_s, self._loop.time() + timeout_s
        if self._late_at_s < self._rings_at_s:
            self._rest()
            self._arm()

    def _arm(self) -> None:
        self._rings_at_s = self._late_at_s
        self._timer = self._loop.call_at(self._late_at_s, self._ring)

    def _ring(self) -> None:
        now_s = max(self._loop.time(), self._rings_at_s)  # some loops ring a little early
        self._timer, self._rings_at_s = None, inf
        if self._heard is None or self._late_at_s == inf:
            return
        if now_s >= self._late_at_s:
            self._tell(StoreTimeoutError(f"no reply within {self._timeout_s:g} s"))
        else:
            self._arm()

    def _rest(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._rings_at_s = None, inf

    def abort(self) -> None:
        """Close at once."""
        self._rest()
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
                self._lost = self._lost or self._reader.has_data()  # more than was asked: whose is the next?
                self._tell(self._replies)

    def _take(self) -> bool:
        """All replies that are whole; whether none is lacking.

        Raises:
            StoreConnectionError: one says that the store is no good just now, or this is no reply.
        """
        replies, count, next_one = self._replies, self._count, self._reader.gets
        while len(replies) < count and (reply := next_one()) is not _NOT_YET:
            if not isinstance(reply, _NO_REPLY):
                replies.append(reply)
            elif isinstance(reply, StoreConnectionError):
                raise reply
        return len(replies) == count

    def _tell(self, said: Said) -> None:
        """Once; whoever hears it may say something at once."""
        heard, self._heard, self._replies = self._heard, None, []
        if heard is not None:
            heard(said)

    def connection_lost(self, error: Exception | None) -> None:
        """Called by asyncio."""
        self._lost = True
        self._rest()
        self._tell(StoreConnectionError(f"the store hung up: {error}"))
        self._before.connection_lost(error)  # the library may wait for it

    def pause_writing(self) -> None:
        """Called by asyncio: what is asked at once is bounded by who asks."""

    def resume_writing(self) -> None:
        """Called by asyncio."""

    def eof_received(self) -> None:
        """Called by asyncio: it closes."""


def _settle(done: asyncio.Future[list[object]], said: Said) -> None:
    if done.done():
        return
    if isinstance(said, BaseException):
        done.set_exception(said)
    else:
        done.set_result(said)
