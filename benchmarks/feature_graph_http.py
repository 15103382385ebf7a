"""G32 with real sockets: 32 HTTP fetches of 100 ms, beside bare httpx in four rounds.

``python -m benchmarks.feature_graph_http`` measures and prints it. The service answers from a process of
its own.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypedDict

import httpx

from benchmarks.feature_graph.g32 import GOALS, LEVELS, NAMES, WIDTH, Run, parents
from benchmarks.feature_graph.timing import figure, fixed, in_turns
from benchmarks.figures import Figure
from decision_service.sources.http import HttpService, open_http
from feature_graph import Graph, fetch

WAIT_MS = 100
DEADLINE_S = 2.0
AT_MOST_BARE = 1.02
AT_MOST_MS = 460.0
ROUNDS = 15
TRIES = 2


class Given(TypedDict):
    """The one input: the service that is asked."""

    service: HttpService


class Answer(TypedDict):
    """What the service says."""

    value: float


def http_figures(rounds: int = ROUNDS) -> list[Figure]:
    """The wall time of a resolve beside bare httpx, and what it may be; a missed gate is tried again."""
    with upstream() as base_url:
        for _ in range(TRIES):
            figures = asyncio.run(_measured(base_url, rounds))
            if all(one.passed for one in figures):
                break
    return figures


async def _measured(base_url: str, rounds: int) -> list[Figure]:
    async with (
        open_http(base_url, timeout_s=1.0) as service,
        httpx.AsyncClient(base_url=base_url, trust_env=False, timeout=1.0) as client,
    ):
        sides = {"ours": resolving(service), "bare": by_rounds(client)}
        seen = await in_turns(sides, rounds, runs=1)
    facts = {"load_1m": round(os.getloadavg()[0], 1)}  # the wall time is the machine's, too
    ours, bare = seen["ours"].times(1000.0), seen["bare"].times(1000.0)
    name = "feature_graph.http_g32"
    figures = [
        figure(
            name, ours, "ms", bare, "the same requests by bare httpx in four rounds", at_most=AT_MOST_BARE
        ),
        figure(f"{name}_wall", ours, "ms", fixed(AT_MOST_MS), "ms that it may take", at_most=1.0),
    ]
    return [one._replace(facts=facts) for one in figures]


def resolving(service: HttpService) -> Run:
    """A resolve of G32 with a timeout on every fetch and a deadline."""
    graph = Graph(Given, *(fetch(timeout=1.0)(body) for body in fetches()))

    async def run() -> None:
        found = await graph.resolve(GOALS, given={"service": service}, deadline=DEADLINE_S)
        if list(found.values) != list(GOALS):
            raise AssertionError(f"no value for every goal: {found!r}")

    return run


def fetches(path: str = f"/wait/{WAIT_MS}/{{node}}") -> list[Callable[..., Awaitable[float]]]:
    """The 32 fetches of G32, each a request of its own."""
    scope: dict[str, Any] = {"Answer": Answer, "path": path}
    for k, name in enumerate(NAMES):
        needs = "".join(f", {NAMES[parent]}: float" for parent in parents(k))
        exec(
            f"async def {name}(service{needs}) -> float:"
            f" return (await service.get(path, Answer, node='{name}'))['value']",
            scope,
        )
    return [scope[name] for name in NAMES]


def by_rounds(client: httpx.AsyncClient) -> Run:
    """What one writes without a graph: gather a level, then the next."""

    async def ask(name: str) -> float:
        return float((await client.get(f"/wait/{WAIT_MS}/{name}")).json()["value"])

    async def run() -> None:
        for level in range(LEVELS):
            await asyncio.gather(*(ask(name) for name in NAMES[level * WIDTH : (level + 1) * WIDTH]))

    return run


@contextmanager
def upstream() -> Iterator[str]:
    """The slow service in a process of its own, until the block ends; its address."""
    with subprocess.Popen([sys.executable, "-m", "benchmarks.upstream"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


if __name__ == "__main__":
    for one in http_figures():
        print(one.name, one.as_row())
