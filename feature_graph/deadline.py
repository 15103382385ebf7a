"""Time that a run has left, visible to every fetcher so that it can be sent on."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar, Token
from datetime import timedelta
from math import inf, isnan

from feature_graph.errors import BadRun

Clock = Callable[[], float]
"""Seconds on any clock that never goes back; a run's own is its loop's ``time``."""


Deadline = tuple[Clock, float]
"""An instant on a clock."""
Call = tuple[Clock, float, int]
"""What a call of a run knows of itself: a clock, the instant on it by which it has to be done (inf: at
leisure), and the number under which it tells its notes. One variable, a plain tuple: every fetch sets it."""

current_call: ContextVar[Call | None] = ContextVar("feature_graph_call", default=None)


def remaining() -> float | None:
    """Seconds until the fetch that asks has to be done; None outside a run or without a deadline.

    It is the smaller of the fetch's own timeout and what the run has left, never below zero: hand it to the
    service that is asked, as gRPC does.
    """
    deadline = deadline_here()
    return None if deadline is None else max(0.0, deadline[1] - deadline[0]())


def deadline_here() -> Deadline | None:
    """The instant by which whoever asks has to be done."""
    call = current_call.get()
    return None if call is None or call[1] == inf else call[:2]


def hurry(clock: Clock, at_s: float) -> Token[Call | None]:
    """Have it done by ``at_s``; undone with ``current_call.reset``."""
    call = current_call.get()
    return current_call.set((clock, at_s, 0 if call is None else call[2]))


def deadline_in(duration_s: float | None) -> float | None:
    """The smaller of a duration and what an enclosing run has left: a nested run never outlives it."""
    if current_call.get() is None:  # as nearly always
        return duration_s
    left_s = remaining()
    if left_s is None or duration_s is None:
        return left_s if duration_s is None else duration_s
    return min(left_s, duration_s)


def seconds_of(duration: float | timedelta | None, what: str) -> float | None:
    """Seconds as float, or :class:`BadRun` for what is no duration."""
    if duration is None or (duration.__class__ is float and duration == duration):
        return duration  # NaN is not equal to itself
    if isinstance(duration, timedelta):
        return duration.total_seconds()
    if isinstance(duration, bool) or not isinstance(duration, (int, float)) or isnan(duration):
        raise BadRun(f"{what} is {duration!r}; legal: seconds as a number, a timedelta, or None")
    return float(duration)
