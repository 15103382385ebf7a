"""G32: the graph that everything is measured on, and the ways to run it without a library.

32 nodes in four levels of eight; node i of a level needs nodes i and i + 1 (mod 8) of the level before it,
and the goals are the last eight. Values are sums, so that a wiring mistake shows as a wrong goal.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypedDict

from feature_graph import Graph, fetch

LEVELS, WIDTH = 4, 8
SIZE = LEVELS * WIDTH
NAMES = tuple(f"f{k:02d}" for k in range(SIZE))
GOALS = NAMES[-WIDTH:]
GIVEN = {"x": 1}
EXPECTED = 2 ** (LEVELS - 1)
TIMEOUT_S = 30.0
DEADLINE_S = 60.0
"""Set on every node and run, so that the gates pay for timers; far away, so that none fires."""
BODIES = {
    "noop": "return {value}",
    "yield": "await sleep(0); return {value}",
    "wait": "await sleep(wait_s[{k}]); return {value}",
}

Run = Callable[[], Awaitable[Any]]


class Given(TypedDict):
    """The one input of the graph."""

    x: int


def parents(k: int) -> tuple[int, ...]:
    """Nodes that node ``k`` needs; none for the first level, which takes the input.

    >>> parents(3), parents(15)
    ((), (7, 0))
    """
    level, place = divmod(k, WIDTH)
    if level == 0:
        return ()
    below = (level - 1) * WIDTH
    return below + place, below + (place + 1) % WIDTH


def functions(body: str, wait_s: list[float] | None = None, colour: str = "async def") -> list[Any]:
    """The 32 as a person would write them out.

    Args:
        body: a key of ``BODIES``.
        wait_s: how long each node takes; read at every call, so that it may be changed between runs.
        colour: ``def`` for derived nodes.
    """
    scope: dict[str, Any] = {"sleep": asyncio.sleep, "wait_s": wait_s}
    for k, name in enumerate(NAMES):
        needs = [NAMES[parent] for parent in parents(k)] or ["x"]
        code = BODIES[body].format(k=k, value=" + ".join(needs))
        exec(f"{colour} {name}({', '.join(f'{n}: int' for n in needs)}) -> int: {code}", scope)
    return [scope[name] for name in NAMES]


def ours(bodies: list[Any]) -> Run:
    """A resolve with everything on: outcomes, timeline, a timeout on every fetch and a deadline."""
    is_fetch = inspect.iscoroutinefunction(bodies[0])
    graph = Graph(Given, *(fetch(timeout=TIMEOUT_S)(body) if is_fetch else body for body in bodies))
    return lambda: graph.resolve(GOALS, given=GIVEN, deadline=DEADLINE_S)


def task_a_node(bodies: list[Any]) -> Run:
    """The yardstick: a task a node, which awaits the tasks of what it needs. No timeouts, no outcomes."""
    needs = [parents(k) for k in range(SIZE)]

    async def run() -> list[int]:
        create_task = asyncio.get_running_loop().create_task
        tasks: list[asyncio.Task[int]] = []

        async def node(k: int) -> int:
            if k < WIDTH:
                return await bodies[k](1)
            a, b = needs[k]
            return await bodies[k](await tasks[a], await tasks[b])

        for k in range(SIZE):
            tasks.append(create_task(node(k)))  # noqa: PERF401 - a node's task must find those before it
        return [await tasks[k] for k in range(SIZE - WIDTH, SIZE)]

    return run


def by_level(bodies: list[Any]) -> Run:
    """``gather`` a level, then the next: what most services do."""

    async def run() -> list[int]:
        values = await asyncio.gather(*(body(1) for body in bodies[:WIDTH]))
        for level in range(1, LEVELS):
            nodes = enumerate(bodies[level * WIDTH : (level + 1) * WIDTH])
            values = await asyncio.gather(
                *(body(values[place], values[(place + 1) % WIDTH]) for place, body in nodes)
            )
        return values

    return run


def critical_path_s(wait_s: list[float]) -> float:
    """The shortest time in which anything could run it.

    >>> critical_path_s([0.5] * 32)
    2.0
    """
    done: list[float] = []
    for k in range(SIZE):
        done.append(wait_s[k] + max((done[parent] for parent in parents(k)), default=0.0))
    return max(done)


async def check(run: Run) -> None:
    """Every goal has the value that it must have, or there is nothing to measure."""
    found = await run()
    values = found.values if hasattr(found, "values") and not isinstance(found, dict) else found
    values = list(values.values()) if isinstance(values, dict) else list(values)
    if values != [EXPECTED] * WIDTH:
        raise AssertionError(f"the goals of G32 came out as {values}; each must be {EXPECTED}")
