"""Who holds the loop is named, and its neighbours are not blamed. (30) of the list of edge cases."""

from __future__ import annotations

import asyncio
import time
from typing import TypedDict

import pytest

from feature_graph import Graph, Status, fetch
from feature_graph.graph import WATCH_EVERY
from feature_graph.watch import BLOCKED_S, watched
from tests.feature_graph.virtual_time import VirtualLoop, run


class Given(TypedDict):
    x: int


LONG_S = 0.1
"""Far above what a busy machine takes from a step that is not to blame."""


def hold_the_processor(for_s: float = 1.2 * LONG_S) -> None:
    """Real time: what is measured is the processor's, whatever the loop's clock says."""
    until_s = time.monotonic() + for_s
    while time.monotonic() < until_s:
        pass


def held(graph, goals="goal"):
    found = asyncio.run(graph.resolve(goals, given={"x": 1}))
    assert all(took_s > BLOCKED_S for took_s in found.blocked.values())
    return {name: took_s for name, took_s in found.blocked.items() if took_s > LONG_S}


def test_a_derived_node_that_holds_the_loop_is_named():
    def slow(x: int) -> int:
        hold_the_processor()
        return x

    def goal(slow: int) -> int:
        return slow

    assert held(Graph(Given, slow, goal)).keys() == {"slow"}


@pytest.mark.parametrize("where", ["first", "middle", "last"])
def test_a_fetch_that_holds_the_loop_is_named_and_the_others_are_not(where):
    async def blocking(x: int) -> int:
        for step in ("first", "middle", "last"):
            if step == where:
                hold_the_processor()
            await asyncio.sleep(0)
        if where == "last":
            hold_the_processor()
        return x

    async def innocent(x: int) -> int:
        await asyncio.sleep(0.001)
        return x

    def goal(blocking: int, innocent: int) -> int:
        return blocking + innocent

    assert held(Graph(Given, blocking, innocent, goal)).keys() == {"blocking"}


def test_a_fetch_that_waits_holds_nothing():
    async def goal(x: int) -> int:
        await asyncio.sleep(2 * LONG_S)
        return x

    assert held(Graph(Given, goal)) == {}


def test_a_blocking_call_in_a_thread_holds_nothing():
    @fetch(blocking=True)
    def goal(x: int) -> int:
        time.sleep(2 * LONG_S)
        return x

    assert held(Graph(Given, goal)) == {}


def test_the_first_run_of_a_graph_is_watched_and_one_in_so_many_after_it():
    async def goal(x: int) -> int:
        hold_the_processor()
        return x

    graph = Graph(Given, goal)
    assert [bool(held(graph)) for _ in range(WATCH_EVERY + 1)] == [True] + [False] * (WATCH_EVERY - 1) + [
        True
    ]


def test_an_answer_that_lay_there_when_the_loop_was_held_is_not_called_late():
    """(30) The loop's clock passes the timeout while somebody else computes; the answer came before."""
    loops = []

    def holding(x: int) -> int:
        loops[0]._now_s += 10  # as if it had computed for ten seconds
        return x

    @fetch(timeout=2)
    async def innocent(x: int) -> int:
        await asyncio.sleep(1)
        return x

    async def first(x: int) -> int:
        await asyncio.sleep(0.5)
        return x

    def goal(first: int, holding_late: int) -> int:
        return first

    def holding_late(first: int) -> int:
        return holding(first)

    def loop():
        loops.append(VirtualLoop())
        return loops[0]

    graph = Graph(Given, innocent, first, holding_late, goal)
    found = run(lambda: graph.resolve(["goal", "innocent"], given={"x": 1}), loop_factory=loop)
    assert found.statuses == {"goal": "ok", "innocent": "ok"}
    assert found.blocked == {"holding_late": 10.0}


def test_what_is_late_although_it_was_given_its_turn_is_late():
    def loop():
        loops.append(VirtualLoop())
        return loops[0]

    loops = []

    def holding(x: int) -> int:
        loops[0]._now_s += 10
        return x

    @fetch(timeout=2)
    async def slow(x: int) -> int:
        await asyncio.sleep(1000)
        return x

    graph = Graph(Given, slow, holding)
    found = run(lambda: graph.resolve(["slow", "holding"], given={"x": 1}), loop_factory=loop)
    assert found.outcomes["slow"].status is Status.TIMED_OUT


def test_a_watched_call_behaves_as_the_call_itself():
    """Values, errors thrown in and errors thrown out pass through unchanged."""

    async def caught():
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            return "cleaned up"

    async def main():
        task = asyncio.ensure_future(_await(watched(caught(), _no_hold, "caught")))
        await asyncio.sleep(0)
        task.cancel()
        return await task

    async def fails():
        await asyncio.sleep(0)
        raise KeyError("k")

    assert run(main) == "cleaned up"
    with pytest.raises(KeyError, match="k"):
        run(lambda: _await(watched(fails(), _no_hold, "fails")))


async def _await(call):
    return await call


def _no_hold(name, took_s):
    raise AssertionError(f"{name} held the loop for {took_s} s")
