"""Randomness of ids, from the kernel."""

from __future__ import annotations

import os
from collections.abc import Callable


def random_numbers(at_once: int = 512) -> Callable[[], int]:
    """64 random bits at a time. The kernel is asked for many together: each call costs as much."""
    left: list[int] = []

    def number() -> int:
        if not left:
            left.extend(memoryview(os.urandom(8 * at_once)).cast("Q"))
        return left.pop()

    return number
