"""A graph of HTTP fetches against a service in a process of its own: values, faults, the deadline."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from typing import TypedDict

import pytest

from benchmarks.feature_graph.g32 import GOALS, NAMES
from benchmarks.feature_graph_http import Answer, Given, fetches
from decision_service.sources.http import HttpService, open_http
from feature_graph import Graph, Status, fetch
from tests.processes import Processes


@pytest.fixture
def upstream(processes: Processes) -> Iterator[str]:
    """Where the slow service listens."""
    process = processes.start("benchmarks.upstream")
    process.wait_until(lambda: process.output().endswith("\n"))
    yield f"http://127.0.0.1:{int(process.output())}"
    process.kill()


async def test_32_fetches_of_a_real_service_each_have_their_value(upstream: str):
    """Each is asked once; the benchmark of the same name holds the time."""
    graph = Graph(Given, *fetches("/wait/5/{node}"))
    async with open_http(upstream) as service:
        found = await graph.resolve(GOALS, given={"service": service}, deadline=10.0)
    assert found.values == dict.fromkeys(GOALS, 1.0)
    assert {found.outcomes[name].status for name in NAMES} == {Status.OK}


class Services(TypedDict):
    healthy: HttpService
    broken: HttpService


@fetch(timeout=20.0)
async def good(healthy: HttpService) -> float:
    return (await healthy.get("/wait/1/x", Answer))["value"]


@fetch(timeout=20.0, fallback=-1.0)
async def down(broken: HttpService) -> float:
    return (await broken.get("/wait/1/x", Answer))["value"]


@fetch(timeout=20.0)
async def down_without_a_fallback(broken: HttpService) -> float:
    return (await broken.get("/wait/1/y", Answer))["value"]


@fetch(timeout=20.0)
async def hangs(healthy: HttpService) -> float:
    return (await healthy.get("/hang/x", Answer))["value"]


@fetch(timeout=0.05, fallback=0.0)
async def slow(healthy: HttpService) -> float:
    return (await healthy.get("/wait/60000/x", Answer))["value"]


@fetch(timeout=20.0)
async def failing(healthy: HttpService) -> float:
    return (await healthy.get("/status/503/x", Answer))["value"]


@fetch(timeout=20.0)
async def missing(healthy: HttpService, nothing: float = 7.0) -> float:
    return nothing


@fetch(timeout=20.0)
async def nothing(healthy: HttpService) -> float:
    return (await healthy.get("/status/404/x", Answer))["value"]


def total(good: float, down: float, slow: float) -> float:
    return good + down + slow


def of_the_hanging(hangs: float, good: float) -> float:
    return hangs + good


async def test_with_one_service_down_one_hanging_and_one_slow_every_goal_has_a_value_or_a_reason(
    upstream: str,
):
    """By the deadline, with nothing left running."""
    graph = Graph(
        Services,
        *(good, down, down_without_a_fallback, hangs, slow, failing, missing, nothing, total, of_the_hanging),
    )
    deadline_s, loop = 2.0, asyncio.get_running_loop()
    with socket.socket() as kept:  # for as long as nobody is to listen there
        kept.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{kept.getsockname()[1]}"
        async with (
            open_http(upstream, timeout_s=20.0) as healthy,
            open_http(nobody, timeout_s=20.0) as broken,
        ):
            tasks = asyncio.all_tasks()
            began_s = loop.time()
            found = await graph.resolve(
                list(graph), given={"healthy": healthy, "broken": broken}, deadline=deadline_s
            )
            took_s = loop.time() - began_s
            assert asyncio.all_tasks() == tasks

    assert {goal: str(outcome.status) for goal, outcome in found.outcomes.items() if goal in graph} == {
        "good": "ok",
        "down": "fallback",
        "down_without_a_fallback": "failed",
        "hangs": "timed_out",
        "slow": "fallback",
        "failing": "failed",
        "missing": "ok",
        "nothing": "failed",
        "total": "ok",
        "of_the_hanging": "upstream_failed",
    }
    assert found["total"] == 0.0
    assert found["missing"] == 7.0
    for goal in graph:
        assert found.outcomes[goal].has_value or found.outcomes[goal].error is not None, goal
    assert found.outcomes["of_the_hanging"].root == "hangs"
    assert took_s >= 0.9 * deadline_s, "the hanging service was waited for"
    assert took_s < deadline_s + 1.0, "the answer came by the deadline, on however busy a machine"
