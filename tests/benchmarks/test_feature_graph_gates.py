"""Every gate of the feature graph runs; a graph that is slow, splits batches or forgets its plans misses."""

from __future__ import annotations

import asyncio
import time

import pytest

from benchmarks.feature_graph import batches
from benchmarks.feature_graph.gates import MODULES, load
from feature_graph import Graph, batch

TINY = {
    "B1": {"rounds": 1, "wait_s": 0.005},
    "B2": {"rounds": 1, "wait_s": 0.001},
    "B3": {"rounds": 2, "runs": 1},
    "B4": {"rounds": 2, "runs": 1},
    "B5": {"draws": 2, "median_s": 0.001},
    "B6": {"rounds": 1, "at_once": 3, "wait_s": 0.001},
    "B7": {"rounds": 2, "deadline_s": 0.2},
    "B8": {},
    "B9": {"rounds": 2, "runs": 1},
    "B10": {"chain": 1500, "wide": 50, "short": 10},
}


async def measured(gate: str) -> dict[str, bool | None]:
    """Name of each figure that has a gate, and whether it passed."""
    return {each.name: each.passed for each in await load(gate)(**TINY[gate]) if each.gate is not None}


@pytest.mark.parametrize("gate", MODULES)
async def test_every_gate_measures_something_that_it_may_miss(gate):
    """A figure under the gate's name with a limit, and no side of a comparison that took no time."""
    figures = await load(gate)(**TINY[gate])

    assert any(each.gate is not None for each in figures)
    assert all(each.name.split(".")[0] == gate for each in figures)
    assert all(each.value > 0 and each.yardstick > 0 for each in figures)


@pytest.mark.parametrize("gate", ["B8", "B10"])
async def test_gates_that_count_pass_on_any_machine(gate):
    """Calls of a batch and nodes of a long chain are no matter of speed."""
    assert set((await measured(gate)).values()) == {True}


@pytest.mark.parametrize(
    ("gate", "missed"),
    [
        ("B1", {"B1", "B1.sleeps"}),
        ("B2", {"B2"}),
        ("B5", {"B5"}),
        ("B6", {"B6.p50"}),
        ("B7", {"B7"}),
    ],
)
async def test_a_graph_that_keeps_its_caller_waiting_misses(monkeypatch, gate, missed):
    """Half a second more than the fetches take."""
    resolve = Graph.resolve

    async def late(*args, **kwargs):
        found = await resolve(*args, **kwargs)
        await asyncio.sleep(0.5)
        return found

    monkeypatch.setattr(Graph, "resolve", late)
    assert missed <= {name for name, passed in (await measured(gate)).items() if passed is False}


@pytest.mark.parametrize(
    ("gate", "missed"), [("B3", {"B3.noop", "B3.yield"}), ("B4", {"B4"}), ("B6", {"B6.cpu"})]
)
async def test_a_graph_that_burns_the_processor_misses(monkeypatch, gate, missed):
    """CPU time counts, and so the neighbours of a busy machine do not."""
    resolve = Graph.resolve

    async def hot(*args, **kwargs):
        until = time.process_time() + 0.05
        while time.process_time() < until:
            pass
        return await resolve(*args, **kwargs)

    monkeypatch.setattr(Graph, "resolve", hot)
    assert missed <= {name for name, passed in (await measured(gate)).items() if passed is False}


async def test_a_batch_that_is_split_misses(monkeypatch):
    """A call a key instead of a call a level."""
    monkeypatch.setattr(batches, "batch", lambda **_: batch(max=1))
    assert not any((await measured("B8")).values())


async def test_a_plan_that_is_made_anew_for_each_run_misses(monkeypatch):
    """Planning is a good part of a run unless it is kept."""
    plan = Graph.plan

    def forgetful(graph, *args):
        graph._plans.clear()
        return plan(graph, *args)

    monkeypatch.setattr(Graph, "plan", forgetful)
    assert await measured("B9") == {"B9": False}


async def test_a_goal_with_a_wrong_value_is_no_measurement(monkeypatch):
    """Speed of a wrong answer is worth nothing."""

    async def wrong(*_, **__):
        return [0]

    monkeypatch.setattr(Graph, "resolve", wrong)
    with pytest.raises(AssertionError, match="each must be 8"):
        await load("B3")(rounds=1, runs=1)
