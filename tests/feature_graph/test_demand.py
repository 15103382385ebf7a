"""What is not wanted any more is ended, and nothing else is: failures, branches, choices."""

from __future__ import annotations

import asyncio

import pytest

from feature_graph import Graph, ResolutionError, Status, branch, first_of
from tests.feature_graph.timed_nodes import Given, needing, resolve, sleeper
from tests.feature_graph.virtual_time import run


def test_a_failure_ends_what_only_its_consumer_wanted_and_nothing_else():
    """The slow fetch of a lost goal is cancelled at once; a shared one goes on."""

    async def fails(x):
        await asyncio.sleep(1)
        raise ValueError

    graph = Graph(
        Given,
        fails,
        lonely=sleeper(50),
        shared=sleeper(3),
        behind=needing("lonely", "x"),
        lost=lambda fails, lonely, behind, shared: 1,
        kept=lambda shared: shared,
    )
    found, took_s = resolve(graph, ["lost", "kept"])
    assert took_s == pytest.approx(3)
    assert {name: found.outcomes[name].status.value for name in graph} == {
        "fails": "failed",
        "lonely": "cancelled",
        "shared": "ok",
        "behind": "not_needed",
        "lost": "upstream_failed",
        "kept": "ok",
    }
    assert next(span.end_s for span in found.timeline if span.name == "lonely") == pytest.approx(1)


def test_what_an_undecided_branch_may_still_want_is_not_cancelled():
    """Let go by one consumer, taken up by another: the fetch runs once."""
    runs = []

    async def wanted_late(x):
        runs.append(1)
        await asyncio.sleep(5)
        return "late"

    async def fails(x):
        raise ValueError

    async def condition(x):
        await asyncio.sleep(2)
        return True

    graph = Graph(
        Given,
        wanted_late,
        fails,
        condition,
        lost=lambda fails, wanted_late: 1,
        chosen=branch("condition", then="wanted_late", otherwise="x"),
    )
    found, took_s = resolve(graph, ["lost", "chosen"])
    assert found["chosen"] == "late"
    assert (runs, took_s) == ([1], pytest.approx(5))


def test_a_first_of_keeps_the_choice_that_it_waits_for():
    """Another consumer of that choice is lost; the first_of still wants it."""

    async def fails(x):
        raise ValueError

    graph = Graph(
        Given, fails, a=sleeper(3, "a"), b=sleeper(1, "b"), c=first_of("a", "b"), lost=lambda fails, a: 1
    )
    found, took_s = resolve(graph, ["lost", "c"])
    assert (found["c"], took_s) == ("a", pytest.approx(3))


def test_a_side_taken_late_sees_what_has_failed_before():
    """Nobody asked for the side while its dependency failed for somebody else; it must not run without."""
    graph = Graph(
        Given,
        fails=lambda x: x / 0,
        condition=sleeper(1, True),
        side=lambda fails, idle: 1,
        idle=lambda x: pytest.fail("nobody needs this"),
        chosen=branch("condition", then="side", otherwise="x"),
    )
    found, _ = resolve(graph, ["fails", "chosen"])
    assert found.statuses == {"fails": "failed", "chosen": "upstream_failed"}
    assert {found.outcomes["chosen"].root, found.outcomes["side"].root} == {"fails"}
    assert found.outcomes["idle"].status is Status.NOT_NEEDED


def test_a_side_whose_need_fails_in_the_moment_it_is_taken_calls_for_nothing_more():
    """Demand stops where it meets a lost node: what else the side would need is not started."""
    graph = Graph(
        Given,
        fails=lambda x: x / 0,
        condition=sleeper(1, True),
        lost=lambda fails: 1,
        dear=lambda x: pytest.fail("nobody needs this"),
        side=lambda lost, dear: 1,
        chosen=branch("condition", then="side", otherwise="x"),
        busy=sleeper(3),
    )
    found, _ = resolve(graph, ["fails", "chosen", "busy"])
    assert found.outcomes["chosen"].root == "fails"
    assert found.outcomes["dear"].status is Status.NOT_NEEDED


def test_what_a_decided_branch_does_not_want_is_cancelled():
    """The mirror image: the side not taken had been started for a consumer that is lost."""

    async def fails(x):
        raise ValueError

    graph = Graph(
        Given,
        fails,
        condition=sleeper(2, False),
        slow=sleeper(50),
        lost=lambda fails, slow: 1,
        chosen=branch("condition", then="slow", otherwise="x"),
        busy=sleeper(9),
    )
    found, _ = resolve(graph, ["lost", "chosen", "busy"])
    assert (found["chosen"], found.outcomes["slow"].status) == (1, Status.CANCELLED)
    assert next(span.end_s for span in found.timeline if span.name == "slow") == pytest.approx(2)


def test_a_failure_does_not_reach_what_nobody_asked_for():
    """The untaken side needs the lost node too; it is not needed, and no more than that."""
    graph = Graph(
        Given,
        fails=lambda x: x / 0,
        side=lambda fails: 1,
        chosen=branch("x", then="x", otherwise="side"),
    )
    found, _ = resolve(graph, ["fails", "chosen"])
    assert found.outcomes["side"].status is Status.NOT_NEEDED


def test_first_of_starts_the_next_choice_only_when_the_last_has_failed():
    """One at a time: the second source is spared while the first may answer."""
    graph = Graph(Given, a=sleeper(9, timeout=1), b=sleeper(2, "b"), c=sleeper(1), d=first_of("a", "b", "c"))
    found, took_s = resolve(graph, "d")
    assert (found["d"], took_s) == ("b", pytest.approx(3))
    assert found.outcomes["c"].status is Status.NOT_NEEDED


def test_a_required_goal_that_fails_ends_the_run_at_once():
    """Nobody waits for the rest; it is cancelled."""

    async def fails(x):
        await asyncio.sleep(1)
        raise ValueError

    graph = Graph(Given, fails, slow=sleeper(50))

    async def main():
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        with pytest.raises(ResolutionError) as failed:
            await graph.resolve(["slow", "fails"], given={"x": 1}, required=["fails"])
        return failed.value, loop.time() - began_s

    error, took_s = run(main)
    assert (error.goal, took_s) == ("fails", pytest.approx(1))
    assert error.resolution.statuses == {"slow": "cancelled", "fails": "failed"}
