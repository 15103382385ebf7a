"""B7: the answer comes by the deadline, whatever the fetches do, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time

from benchmarks.feature_graph.g32 import Given
from benchmarks.feature_graph.timing import figure, fixed, spread
from benchmarks.figures import Figure
from feature_graph import Graph

OVER = 1.2
"""50 ms may become 60: the grace of 5 ms for the one that resists, and a late timer on a busy machine."""

STATUSES = {"both": "upstream_failed", "one_more": "ok", "never": "timed_out"}


async def b7(rounds: int = 15, deadline_s: float = 0.05) -> list[Figure]:
    """One fetch never answers and one swallows its cancellation, which is named as abandoned."""
    logging.getLogger("feature_graph").setLevel(logging.ERROR)  # it warns of what it abandons
    release = asyncio.Event()
    graph = Graph(Given, never, one_more, quick=quick, stubborn=_stubborn(release), both=both)
    before = asyncio.all_tasks()
    walls_ms, left = [], 0
    for _ in range(rounds):
        release.clear()
        began = time.perf_counter()
        found = await graph.resolve(("both", "one_more", "never"), given={"x": 1}, deadline=deadline_s)
        walls_ms.append((time.perf_counter() - began) * 1e3)
        alive = asyncio.all_tasks() - before
        left += len(alive)
        if found.statuses != STATUSES or found.abandoned != ("stubborn",):
            raise AssertionError(f"the goals came out as {found!r}, abandoned: {found.abandoned}")
        release.set()
        await asyncio.gather(*alive)
    bound = fixed(deadline_s * 1e3)
    return [
        figure("B7", spread(walls_ms), "ms", bound, "the deadline", at_most=OVER),
        figure("B7.slowest", fixed(max(walls_ms)), "ms", bound, "the deadline"),
        Figure("B7.left_over", left, "tasks alive", rounds, "that resists, and is named", at_most=1.0),
    ]


async def quick(x: int) -> int:
    """Answers at once."""
    return x


async def one_more(quick: int) -> int:
    """Has its value in time."""
    return quick + 1


async def never(x: int) -> int:
    """Waits for what nobody will do."""
    await asyncio.Event().wait()
    return x


def both(never: int, stubborn: int) -> int:
    """Cannot have a value."""
    return never + stubborn


def _stubborn(release: asyncio.Event) -> object:
    async def stubborn(x: int) -> int:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await release.wait()
        return x

    return stubborn
