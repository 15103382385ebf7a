"""B6: a hundred graphs at once on one core."""

from __future__ import annotations

import asyncio
import gc
import time

from benchmarks.feature_graph.g32 import LEVELS, SIZE, Run, check, functions, ours, task_a_node
from benchmarks.feature_graph.hamilton import hamilton, installed
from benchmarks.feature_graph.timing import Spread, figure, fixed, spread
from benchmarks.figures import Figure

NAME, TASKS = "B6", "a task a node"


async def b6(rounds: int = 15, at_once: int = 100, wait_s: float = 0.01) -> list[Figure]:
    """CPU beside bare tasks, and the median graph's latency beside its bound; Hamilton beside both."""
    bodies = functions("wait", [wait_s] * SIZE)
    sides = {"ours": ours(bodies), "tasks": task_a_node(bodies)}
    if installed():
        sides["hamilton"] = await hamilton(bodies)
    for run in sides.values():
        await check(run)
    cpu_us: dict[str, list[float]] = {name: [] for name in sides}
    p50_ms: dict[str, list[float]] = {name: [] for name in sides}
    order = list(sides)
    for turn in range(rounds + 1):
        for name in order:
            gc.collect()  # what another side left behind
            cpu, p50 = await _crowd(sides[name], at_once)
            if turn:
                cpu_us[name].append(cpu * 1e6 / at_once)
                p50_ms[name].append(p50 * 1e3)
        order.append(order.pop(0))
    cpus = {name: spread(each) for name, each in cpu_us.items()}
    waits = {name: spread(each) for name, each in p50_ms.items()}
    return _figures(cpus, waits, fixed(LEVELS * wait_s * 1e3))


def _figures(cpus: dict[str, Spread], waits: dict[str, Spread], bound: Spread) -> list[Figure]:
    cpu, p50 = cpus["ours"], waits["ours"]
    figures = [
        figure(f"{NAME}.cpu", cpu, "µs CPU/graph", cpus["tasks"], TASKS, at_most=1.8),
        figure(f"{NAME}.p50", p50, "ms", bound, "four levels, nothing else", at_most=1.75),
        figure(f"{NAME}.p50.tasks", p50, "ms", waits["tasks"], TASKS),
    ]
    if "hamilton" in cpus:
        figures += [
            figure(f"{NAME}.cpu.hamilton", cpu, "µs CPU/graph", cpus["hamilton"], "Hamilton"),
            figure(f"{NAME}.p50.hamilton", p50, "ms", waits["hamilton"], "Hamilton"),
        ]
    return figures


async def _crowd(run: Run, at_once: int) -> tuple[float, float]:
    """CPU seconds of all graphs together, and the median graph's wall seconds."""

    async def one() -> float:
        began = time.perf_counter()
        await run()
        return time.perf_counter() - began

    began = time.process_time()
    walls = await asyncio.gather(*(one() for _ in range(at_once)))
    return time.process_time() - began, spread(list(walls)).median
