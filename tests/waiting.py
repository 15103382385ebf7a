"""Wait for what another process will do: poll with a deadline, never sleep and hope."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(predicate: Callable[[], T], deadline_s: float = 30.0, what: str = "", poll_s: float = 0.01) -> T:
    """The first true value of ``predicate``; fails with ``what`` and the last value after the deadline."""
    end = time.monotonic() + deadline_s
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline_s:g} s: {what or predicate}; last seen: {value!r}")
        time.sleep(poll_s)
