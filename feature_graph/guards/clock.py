"""What guards take from outside: time and chance, as plain functions so that a graph can be pickled."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from math import inf

Clock = Callable[[], float]
"""Seconds on a clock that never goes back."""
Random = Callable[[], float]
"""A number in [0, 1)."""


def loop_time() -> float:
    """Seconds on the running loop's clock; outside a loop on the system's, which loops use by default."""
    loop = running_loop()
    return time.monotonic() if loop is None else loop.time()


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The loop that runs in this thread, if one does."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def chance() -> float:
    """A number in [0, 1)."""
    return random.random()  # noqa: S311 - spreads retries out; nothing is secret


def is_number(value: object, low: float, high: float = inf) -> bool:
    """True for a number, and not a truth value, of ``low`` to ``high``."""
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
