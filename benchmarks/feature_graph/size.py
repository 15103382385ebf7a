"""B10: graphs that end other libraries, which recurse or keep one queue with a cap."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from benchmarks.feature_graph.g32 import DEADLINE_S, GIVEN, TIMEOUT_S, Given
from benchmarks.figures import Figure
from feature_graph import Graph, Status, fetch


async def b10(chain: int = 10_000, wide: int = 5_000, short: int = 100) -> list[Figure]:
    """A chain of derived nodes, values and failures alike, and fetches side by side."""
    values, broken, us_a_node = await _chain(chain)
    _, _, short_us = await _chain(short)
    return [
        Figure("B10.chain", values, "nodes", chain, "nodes in the chain", at_least=1.0),
        Figure("B10.failures", broken, "nodes", chain, "nodes above the failure", at_least=1.0),
        Figure("B10.wide", await _side_by_side(wide), "fetches", wide, "fetches side by side", at_least=1.0),
        Figure("B10.growth", us_a_node, "µs/node", short_us, f"a chain of {short}"),
    ]


async def _chain(length: int) -> tuple[int, int, float]:
    """Nodes with a value in a good run, nodes that name the failing one in a bad run, µs a node."""
    nodes = [_node(n, f"n{n - 1}" if n else "x", "def") for n in range(length)]
    graph = Graph(Given, *nodes)
    last = f"n{length - 1}"
    await graph.resolve(last, given=GIVEN, deadline=DEADLINE_S)
    began = time.perf_counter()
    found = await graph.resolve(last, given=GIVEN, deadline=DEADLINE_S)
    took_s = time.perf_counter() - began
    values = found[last] - 1  # type: ignore[operator]
    failed = (await graph.resolve(last, given={"x": None}, deadline=DEADLINE_S)).outcomes
    blamed = sum(failed[name].root == "n0" for name in graph)
    return values, blamed, took_s / length * 1e6


async def _side_by_side(width: int) -> int:
    nodes = [fetch(timeout=TIMEOUT_S)(_node(n, "x", "async def")) for n in range(width)]
    graph = Graph(Given, *nodes)
    found = await graph.resolve(tuple(graph), given=GIVEN, deadline=DEADLINE_S)
    return sum(outcome.status is Status.OK for outcome in (found.outcomes[name] for name in graph))


def _node(n: int, needs: str, colour: str) -> Any:  # noqa: ANN401 - a function written at run time
    scope: dict[str, Any] = {"sleep": asyncio.sleep}
    wait = "await sleep(0); " if colour == "async def" else ""
    exec(f"{colour} n{n}({needs}: int) -> int: {wait}return {needs} + 1", scope)
    return scope[f"n{n}"]
