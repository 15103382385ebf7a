"""Time in both engines: timeouts, deadlines, and what is left of them."""

from __future__ import annotations

import asyncio

import pytest

from feature_graph import DeadlinePassed, FetchTimedOut, Graph, fetch, remaining
from tests.feature_graph.noting import Given


def test_a_node_times_out_while_its_siblings_go_on(resolve, calls):
    """(24)"""

    async def slow(x):
        await asyncio.sleep(5)
        return "slow"

    graph = Graph(Given, slow, hung=calls.hang("hung", timeout=0.05), after=lambda hung: hung)
    found = resolve(graph, ["slow", "hung", "after"])
    assert found.values == {"slow": "slow"}
    assert found.statuses == {"slow": "ok", "hung": "timed_out", "after": "upstream_failed"}
    assert isinstance(found.outcomes["hung"].error, FetchTimedOut)
    assert isinstance(found.outcomes["hung"].error, TimeoutError)
    assert "'hung' took longer than 0.05 s" in str(found.outcomes["after"].error)


@pytest.mark.parametrize("deadline", [0, -1, 0.0])
def test_a_past_deadline_starts_no_fetch_but_derives_and_falls_back(resolve, calls, deadline):
    """(25)"""
    graph = Graph(
        Given,
        a=calls.value("a", 1),
        b=calls.value("b", 1, fallback=-1),
        c=lambda x: x + 1,
        d=lambda b: b * 2,
    )
    found = resolve(graph, ["a", "b", "c", "d"], deadline=deadline)
    assert calls.made == []
    assert found.values == {"b": -1, "c": 2, "d": -2}
    assert found.statuses == {"a": "timed_out", "b": "fallback", "c": "ok", "d": "ok"}
    assert isinstance(found.outcomes["a"].error, DeadlinePassed)
    assert found.degraded("d") == ("b",)


def test_a_deadline_shorter_than_any_node_ends_the_run(resolve, calls):
    """(25)"""
    graph = Graph(Given, a=calls.hang("a"), b=calls.hang("b", timeout=9, fallback=2), c=lambda a, b: 1)
    found = resolve(graph, ["a", "b", "c"], deadline=0.2)
    assert found.statuses == {"a": "timed_out", "b": "fallback", "c": "upstream_failed"}
    assert found.outcomes["c"].root == "a"


def test_a_fetch_sees_the_time_it_has_left(resolve):
    """(26) The smaller of its own timeout and the run's deadline; None without either."""

    @fetch(timeout=0.5)
    async def short(x):
        return remaining()

    async def open_ended(x):
        await asyncio.sleep(1)
        return remaining()

    graph = Graph(Given, short, open_ended)
    assert resolve(graph, "short", deadline=2)["short"] == pytest.approx(0.5)
    assert resolve(graph, "short", deadline=0.25)["short"] == pytest.approx(0.25)
    assert resolve(graph, "open_ended", deadline=3)["open_ended"] == pytest.approx(2)
    assert resolve(graph, "open_ended")["open_ended"] is None
    assert remaining() is None


@pytest.mark.parametrize(("asked", "had"), [(None, 0.4), (5.0, 0.4), (0.1, 0.1)])
def test_a_nested_run_inherits_the_time_that_is_left(resolve, asked, had):
    """(26) Whatever more it asks for itself."""

    async def left(x):
        return remaining()

    inner = Graph(Given, left)

    @fetch(timeout=0.5)
    async def outer(x):
        await asyncio.sleep(0.1)
        return (await inner.resolve("left", given={"x": x}, deadline=asked))["left"]

    assert resolve(Graph(Given, outer), "outer", deadline=2)["outer"] == pytest.approx(had)
