"""A second copy of a call that takes long: the first good answer wins, the other is cancelled.

For sources with a heavy tail, and only as far as their share of extra load goes (Dean and Barroso, The Tail
at Scale, 2013). Each copy is a task of its own, for a loser may take its time to end or refuse to: the
winner's answer does not wait for it, the run does (:func:`feature_graph.scope.adopt`).
"""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta

from feature_graph.deadline import seconds_of
from feature_graph.errors import BreakerOpen, Overloaded
from feature_graph.guards.attempt import Attempt
from feature_graph.guards.ending import end_all, stop, without_our_frames
from feature_graph.guards.source import Source
from feature_graph.reasons import caused
from feature_graph.scope import adopt, note

Copy = asyncio.Task[object]
_PERCENTILE = re.compile(r"p([1-9]\d?)")
LEGAL = 'seconds above 0, a timedelta, or a percentile from "p1" to "p99"'


def percentile_of(hedge: object) -> float | None:
    """The share that ``"p95"`` stands for; None for what is no such text."""
    found = _PERCENTILE.fullmatch(hedge) if isinstance(hedge, str) else None
    return int(found[1]) / 100.0 if found else None


class Hedging:
    """Sends a copy after a fixed delay or an observed percentile, or as soon as the first has failed."""

    __slots__ = ("_attempt", "_delay_s", "_name", "_share", "_source")

    def __init__(self, name: str, attempt: Attempt, source: Source, after: float | timedelta | str) -> None:
        self._name = name
        self._attempt = attempt
        self._source = source
        self._share = percentile_of(after)
        self._delay_s = None if isinstance(after, str) else seconds_of(after, "hedge")

    async def __call__(self, *args: object, **kwargs: object) -> object:
        """The first good answer, or the first copy's error."""
        delay_s = self._delay_s if self._share is None else self._source.percentile(self._share)
        if delay_s is None or not self._source.may_hedge():
            return await self._attempt(*args, **kwargs)  # no copy can follow: no need of a task
        copies = [self._send(args, kwargs)]
        try:
            await asyncio.wait(copies, timeout=delay_s)
            if self._wants_second(copies[0]):
                self._source.hedging()
                copies.append(self._send(args, kwargs))
            await _until_one_is_good(copies)
        except BaseException:
            await end_all(copies)
            raise
        try:
            return self._conclude(copies)
        except BaseException as error:
            without_our_frames(error)
            raise

    def _send(self, args: tuple[object, ...], kwargs: dict[str, object]) -> Copy:
        copy = asyncio.get_running_loop().create_task(self._attempt(*args, **kwargs))
        adopt(self._name, copy)
        return copy

    def _wants_second(self, first: Copy) -> bool:
        if _is_good(first) or (first.done() and not _may_be_cured(first)):
            return False
        if not self._source.may_hedge():
            note(hedge="no budget")
            return False
        if not self._source.time_is_left():
            note(hedge="no time")
            return False
        return True

    def _conclude(self, copies: list[Copy]) -> object:
        """The answer, the losers cancelled, and what is worth a note."""
        winner = next((copy for copy in copies if _is_good(copy)), None)
        for copy in copies:
            stop(copy)
        if len(copies) > 1:
            note(hedge="failed" if winner is None else "won" if winner is copies[1] else "lost")
        if winner is None:
            raise _first_error(copies)
        if winner is not copies[0]:
            self._source.hedge_won()
        return winner.result()


async def _until_one_is_good(copies: list[Copy]) -> None:
    while not any(map(_is_good, copies)) and (pending := [copy for copy in copies if not copy.done()]):
        await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)


def _is_good(copy: Copy) -> bool:
    return copy.done() and not copy.cancelled() and copy.exception() is None


def _may_be_cured(copy: Copy) -> bool:
    """A copy does not help against our own limits, nor if the function cancelled itself."""
    return not copy.cancelled() and not isinstance(copy.exception(), Overloaded | BreakerOpen)


def _first_error(copies: list[Copy]) -> BaseException:
    """The first copy's error; the other's is told as its context."""
    errors = [asyncio.CancelledError() if copy.cancelled() else copy.exception() for copy in copies]
    first, *others = (error for error in errors if error is not None)
    for other in others:
        caused(first, other)
    return first
