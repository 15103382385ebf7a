"""Sides of a comparison measured in turns, so that whatever else the machine does falls on all of them."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from benchmarks.feature_graph.g32 import Run
from benchmarks.figures import Figure


class Spread(NamedTuple):
    """Median and quartiles of some measurements."""

    median: float
    low: float
    high: float

    def times(self, factor: float) -> Spread:
        """The same in another unit."""
        return Spread(*(each * factor for each in self))


def spread(measured: list[float]) -> Spread:
    """Median and quartiles.

    >>> spread([4.0, 1.0, 2.0, 3.0, 5.0])
    Spread(median=3.0, low=2.0, high=4.0)
    """
    if len(measured) < 2:
        return Spread(*measured * 3)
    low, median, high = statistics.quantiles(measured, n=4, method="inclusive")
    return Spread(median, low, high)


async def in_turns(
    sides: Mapping[str, Run], rounds: int, runs: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, Spread]:
    """Seconds a run of each side: ``runs`` in a row, by turns, ``rounds`` times; the first is dropped.

    Each round begins with another side, and each turn with a run that is not timed and without the garbage of
    the turn before: a small side that always came after a large one would pay for its caches.
    """
    measured: dict[str, list[float]] = {name: [] for name in sides}
    order = list(sides)
    for turn in range(rounds + 1):
        for name in order:
            run = sides[name]
            if runs > 1:
                gc.collect()
                await run()
            began = clock()
            for _ in range(runs):
                await run()
            if turn:
                measured[name].append((clock() - began) / runs)
        order.append(order.pop(0))
    return {name: spread(each) for name, each in measured.items()}


def figure(
    name: str,
    value: Spread,
    unit: str,
    yardstick: Spread,
    yardstick_name: str,
    *,
    at_most: float | None = None,
    at_least: float | None = None,
) -> Figure:
    """A figure of two spreads."""
    return Figure(
        name,
        value.median,
        unit,
        yardstick.median,
        yardstick_name,
        at_least=at_least,
        at_most=at_most,
        value_quartiles=value[1:],
        yardstick_quartiles=yardstick[1:],
    )


def fixed(value: float) -> Spread:
    """A yardstick that is not measured but known."""
    return Spread(value, value, value)
