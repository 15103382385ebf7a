"""Nodes that take their time, and runs of them on virtual time."""

from __future__ import annotations

import asyncio
from typing import TypedDict

from feature_graph import Graph, fetch
from tests.feature_graph.virtual_time import run


class Given(TypedDict, total=False):
    x: int


def sleeper(seconds, value=1, **options):
    async def node(x):
        await asyncio.sleep(seconds)
        return value

    return fetch(**options)(node) if options else node


def resolve(graph, goals, **options):
    """The resolution, and how long it took on the virtual clock."""

    async def main():
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        found = await graph.resolve(goals, given={"x": 1}, **options)
        return found, loop.time() - began_s

    return run(main)


def needing(left, right, seconds=0):
    """A fetch whose parameters have these names; it adds what they give."""

    async def body(a, b):
        await asyncio.sleep(seconds)
        return a + b

    space = {"body": body}
    exec(f"async def node({left}, {right}): return await body({left}, {right})", space)
    return space["node"]


def four_levels_of_eight(seconds):
    first = {f"f0{place}": sleeper(seconds) for place in range(8)}
    later = {
        f"f{level}{place}": needing(f"f{level - 1}{place}", f"f{level - 1}{(place + 1) % 8}", seconds)
        for level in range(1, 4)
        for place in range(8)
    }
    return Graph(Given, **first, **later)
