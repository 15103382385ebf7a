"""B1, B2, B5: how near the wall time comes to what the graph's shape allows."""

from __future__ import annotations

import asyncio
import random
import time

from benchmarks.feature_graph.g32 import (
    GIVEN,
    GOALS,
    LEVELS,
    SIZE,
    Given,
    Run,
    by_level,
    check,
    critical_path_s,
    functions,
    ours,
)
from benchmarks.feature_graph.hamilton import hamilton, installed
from benchmarks.feature_graph.timing import Spread, figure, fixed, in_turns, spread
from benchmarks.figures import Figure
from feature_graph import Graph

MS = 1000.0


async def b1(rounds: int = 5, wait_s: float = 0.1) -> list[Figure]:
    """G32 of 100 ms fetches beside its bound of 400 ms, and beside four bare sleeps in a row."""

    async def four_sleeps() -> None:
        for _ in range(LEVELS):
            await asyncio.sleep(wait_s)

    run = ours(functions("wait", [wait_s] * SIZE))
    await check(run)
    seen = await in_turns({"ours": run, "bare": four_sleeps}, rounds, runs=1)
    wall, bare = seen["ours"].times(MS), seen["bare"].times(MS)
    bound = fixed(LEVELS * wait_s * MS)
    return [
        figure("B1", wall, "ms", bound, "four levels, nothing else", at_most=1.03),
        figure("B1.sleeps", wall, "ms", bare, "four bare sleeps in a row", at_most=1.015),
    ]


async def b2(rounds: int = 5, wait_s: float = 0.01) -> list[Figure]:
    """One node at a time, as the debug engine runs it, beside the parallel run."""
    bodies = functions("wait", [wait_s] * SIZE)
    graph = Graph(Given, *bodies)
    parallel = await in_turns({"ours": ours(bodies)}, rounds, runs=1)
    began = time.perf_counter()
    found = await graph.resolve_in_order(GOALS, given=GIVEN)
    in_order = fixed((time.perf_counter() - began) * MS)
    if len(found.values) != len(GOALS):
        raise AssertionError(f"the debug engine gave {found!r}")
    return [figure("B2", in_order, "ms one by one", parallel["ours"].times(MS), "in parallel", at_least=7.5)]


async def b5(draws: int = 25, median_s: float = 0.01, seed: int = 5) -> list[Figure]:
    """Ragged latencies (lognormal, p99 ten times the median): how near to the critical path of each draw."""
    rng = random.Random(seed)
    wait_s = [0.0] * SIZE
    bodies = functions("wait", wait_s)
    sides: dict[str, Run] = {"ours": ours(bodies), "by level": by_level(bodies)}
    if installed():
        sides["Hamilton"] = await hamilton(bodies)
    for run in sides.values():
        await check(run)
    over: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(draws):
        wait_s[:] = [median_s * 10 ** (rng.gauss(0.0, 1.0) / 2.326) for _ in range(SIZE)]
        for name, run in sides.items():
            began = time.perf_counter()
            await run()
            over[name].append((time.perf_counter() - began) / critical_path_s(wait_s))
    seen = {name: spread(each) for name, each in over.items()}
    unit = "× critical path"
    figures = [figure("B5", seen["ours"], unit, fixed(1.0), "the critical path of the draw", at_most=1.08)]
    beside: dict[str, Spread] = {name: each for name, each in seen.items() if name != "ours"}
    return figures + [
        figure(f"B5.{name.replace(' ', '_').lower()}", seen["ours"], unit, each, f"{name} on the same draws")
        for name, each in beside.items()
    ]
