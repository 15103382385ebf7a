"""B3, B4, B9: what a node costs when it has nothing to wait for.

Nothing waits here, so that CPU time is what an idle machine's clock would show. The clock of a busy one would
charge the neighbours' slices to the longer side.
"""

from __future__ import annotations

import time

from benchmarks.feature_graph.g32 import GIVEN, GOALS, SIZE, Given, Run, check, functions, ours, task_a_node
from benchmarks.feature_graph.hamilton import hamilton, installed
from benchmarks.feature_graph.timing import figure, in_turns, spread
from benchmarks.figures import Figure
from feature_graph import Graph

US_A_NODE = 1e6 / SIZE
YARDSTICK = "a task a node"
LIMITS = {"yield": 2.0, "noop": 2.5}


async def b3(rounds: int = 25, runs: int = 25) -> list[Figure]:
    """Fetches that suspend once or not at all, outcomes and timers on, beside bare tasks and Hamilton."""
    figures = []
    for body, limit in LIMITS.items():
        bodies = functions(body)
        sides = {"ours": ours(bodies), "tasks": task_a_node(bodies)}
        if installed():
            sides["hamilton"] = await hamilton(bodies)
        for run in sides.values():
            await check(run)
        seen = {
            name: each.times(US_A_NODE)
            for name, each in (await in_turns(sides, rounds, runs, time.process_time)).items()
        }
        mine = seen["ours"]
        figures.append(figure(f"B3.{body}", mine, "µs/fetch", seen["tasks"], YARDSTICK, at_most=limit))
        if "hamilton" in seen:
            theirs = seen["hamilton"]
            figures.append(figure(f"B3.{body}.hamilton", mine, "µs/fetch", theirs, "Hamilton", at_most=0.5))
    return figures


async def b4(rounds: int = 25, runs: int = 25) -> list[Figure]:
    """Derived nodes, which run inline, beside a task each; with and without every goal's value read."""
    resolve = ours(functions("noop", colour="def"))

    async def read() -> list[object]:
        found = await resolve()
        return [found[goal] for goal in GOALS]

    sides: dict[str, Run] = {"ours": resolve, "read": read, "tasks": task_a_node(functions("noop"))}
    for run in sides.values():
        await check(run)
    seen = {
        name: each.times(US_A_NODE)
        for name, each in (await in_turns(sides, rounds, runs, time.process_time)).items()
    }
    return [
        figure("B4", seen["ours"], "µs/node", seen["tasks"], YARDSTICK, at_most=0.30),
        figure("B4.values_read", seen["read"], "µs/node", seen["tasks"], YARDSTICK),
    ]


async def b9(rounds: int = 25, runs: int = 25) -> list[Figure]:
    """The look-up of a plan that is known beside a whole resolve; and what the first resolve costs."""
    bodies = functions("noop")
    first = []
    for _ in range(rounds):
        graph = Graph(Given, *bodies)
        began = time.process_time()
        await graph.resolve(GOALS, given=GIVEN)
        first.append(time.process_time() - began)

    async def plan() -> object:
        return graph.plan(GOALS, GIVEN)

    seen = await in_turns({"plan": plan, "warm": ours(bodies)}, rounds, runs, time.process_time)
    warm = seen["warm"].times(1e6)
    return [
        figure("B9", seen["plan"].times(1e6), "µs to plan", warm, "a warm resolve of no-ops", at_most=0.05),
        figure("B9.first", spread(first).times(1e6), "µs, first resolve", warm, "a warm resolve of no-ops"),
    ]
