"""Time that a run has left, visible to every fetcher so that it can be sent on."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from datetime import timedelta
from math import isnan

from feature_graph.errors import BadRun

Clock = Callable[[], float]
"""Seconds on any clock that never goes back; a run's own is its loop's ``time``."""


Deadline = tuple[Clock, float]
"""An instant on a clock. A plain tuple: one is made for every fetch with a timeout."""

current_deadline: ContextVar[Deadline | None] = ContextVar("feature_graph_deadline", default=None)


def remaining() -> float | None:
    """Seconds until the fetch that asks has to be done; None outside a run or without a deadline.

    It is the smaller of the fetch's own timeout and what the run has left, never below zero: hand it to the
    service that is asked, as gRPC does.
    """
    deadline = current_deadline.get()
    if deadline is None:
        return None
    clock, at_s = deadline
    return max(0.0, at_s - clock())


def deadline_in(duration_s: float | None) -> float | None:
    """The smaller of a duration and what an enclosing run has left: a nested run never outlives it."""
    left_s = remaining()
    if left_s is None or duration_s is None:
        return left_s if duration_s is None else duration_s
    return min(left_s, duration_s)


def seconds_of(duration: float | timedelta | None, what: str) -> float | None:
    """Seconds as float, or :class:`BadRun` for what is no duration."""
    if duration is None:
        return None
    if isinstance(duration, timedelta):
        return duration.total_seconds()
    if isinstance(duration, bool) or not isinstance(duration, (int, float)) or isnan(duration):
        raise BadRun(f"{what} is {duration!r}; legal: seconds as a number, a timedelta, or None")
    return float(duration)
