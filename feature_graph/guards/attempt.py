"""One attempt: a place in the bulkhead, the breaker's leave, the call, and what the source learns from it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from feature_graph.deadline import current_call, hurry, remaining
from feature_graph.errors import FetchTimedOut
from feature_graph.guards.ending import without_our_frames
from feature_graph.guards.source import Source, Verdict

Call = Callable[..., Awaitable[object]]
EARLY_S = 0.001
"""Some loops ring a little early: a call cut off with no more than this left ran out of time."""


class AttemptTimedOut(FetchTimedOut):
    """One attempt took longer than :attr:`Retry.attempt_timeout`; the next may do better."""


class Attempt:
    """Makes calls of one function to one source."""

    __slots__ = ("_call", "_keeps_place", "_source", "_transient")

    def __init__(
        self, source: Source, call: Call, transient: tuple[type[Exception], ...], *, keeps_place: bool = False
    ) -> None:
        """With ``keeps_place`` the call itself gives the place back: a thread outlives who waits for it."""
        self._source = source
        self._call = call
        self._transient = transient
        self._keeps_place = keeps_place

    async def __call__(self, *args: object, **kwargs: object) -> object:
        """Call once.

        Raises:
            Overloaded: too many wait already.
            BreakerOpen: the source is left alone.
        """
        source = self._source
        if not source.enter():
            await source.wait()
        probe = source.begin()
        began_s = source.clock()
        try:
            value = await self._call(*args, **kwargs)
        except BaseException as error:
            without_our_frames(error)
            source.settle(self._verdict(error), source.clock() - began_s, error, probe)
            raise
        else:
            source.settle(Verdict.GOOD, source.clock() - began_s, None, probe)
            return value
        finally:
            if not self._keeps_place:
                source.leave()

    def _verdict(self, error: BaseException) -> Verdict:
        if isinstance(error, AttemptTimedOut):
            return Verdict.LATE
        if isinstance(error, Exception):
            return Verdict.TRANSIENT if isinstance(error, self._transient) else Verdict.ERROR
        left_s = remaining() if isinstance(error, asyncio.CancelledError) else None
        return Verdict.STOPPED if left_s is None or left_s > EARLY_S else Verdict.LATE


class Timed:
    """Gives each call so many seconds, and tells it so."""

    __slots__ = ("_call", "_name", "_timeout_s")

    def __init__(self, name: str, call: Call, timeout_s: float) -> None:
        self._name = name
        self._call = call
        self._timeout_s = timeout_s

    async def __call__(self, *args: object, **kwargs: object) -> object:
        """Call, and cut it off.

        Raises:
            AttemptTimedOut: it took longer.
        """
        loop = asyncio.get_running_loop()
        left_s, until_s = remaining(), loop.time() + self._timeout_s
        if left_s is not None and left_s <= self._timeout_s:  # the fetch's own time is up first
            return await self._call(*args, **kwargs)
        before = hurry(loop.time, until_s)
        is_its_own = False
        try:
            async with asyncio.timeout_at(until_s):
                try:
                    return await self._call(*args, **kwargs)
                except TimeoutError:
                    is_its_own = True
                    raise
        except TimeoutError:
            if is_its_own:
                raise
            raise AttemptTimedOut(
                f"an attempt at {self._name!r} took longer than {self._timeout_s:g} s"
            ) from None
        finally:
            current_call.reset(before)
