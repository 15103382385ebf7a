"""A caller that goes away leaves nothing alive."""

from __future__ import annotations

import asyncio
import logging

import pytest

from feature_graph import Graph, branch
from tests.feature_graph.timed_nodes import Given, needing, resolve, sleeper
from tests.feature_graph.virtual_time import never, run


@pytest.mark.parametrize("at_s", [0, 0.5, 1.5, 2.5])
@pytest.mark.parametrize("turns", range(8))
def test_a_cancelled_caller_leaves_nothing_alive(at_s, turns):
    """(39, 43) At whatever point: the cancellation is raised, no task lives, nothing goes unretrieved."""
    graph = Graph(
        Given,
        a=sleeper(1, timeout=5),
        b=needing("a", "x", 1),
        c=lambda b: b,
        d=sleeper(2, fallback=3),
        e=branch("a", then="d", otherwise="c"),
    )

    async def main():
        task = asyncio.ensure_future(graph.resolve(["c", "e"], given={"x": 1}, deadline=9))
        await asyncio.sleep(at_s)
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return asyncio.all_tasks() - {asyncio.current_task()}

    assert run(main) == set()


def test_a_caller_cancelled_while_the_run_cleans_up_is_cancelled():
    """The goals are all settled, a slow cancellation is awaited, and then the client goes."""
    cleaning = []

    async def slow_to_die(x):
        try:
            await never()
        finally:
            cleaning.append("began")
            await asyncio.sleep(0.002)
            cleaning.append("ended")

    async def fails(x):
        await asyncio.sleep(1)
        raise ValueError

    graph = Graph(Given, slow_to_die, fails, lost=lambda fails, slow_to_die: 1)

    async def main():
        task = asyncio.ensure_future(graph.resolve("lost", given={"x": 1}))
        await asyncio.sleep(1.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return cleaning

    assert run(main) == ["began", "ended"]


def test_the_counts_of_an_outer_timeout_stay_intact():
    """(44) An ``asyncio.timeout`` around a run works, and works again."""
    graph = Graph(Given, a=sleeper(50))

    async def main():
        for _ in range(2):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1):
                    await graph.resolve("a", given={"x": 1})
        return asyncio.current_task().cancelling()

    assert run(main) == 0


def test_an_impatient_run_does_not_cancel_a_patient_one():
    """(40) Runs share a graph and nothing else."""
    graph = Graph(Given, a=sleeper(3, "a"))

    async def main():
        impatient, patient = await asyncio.gather(
            graph.resolve("a", given={"x": 1}, deadline=1), graph.resolve("a", given={"x": 1}, deadline=9)
        )
        return impatient.statuses, patient.values

    assert run(main) == ({"a": "timed_out"}, {"a": "a"})


def test_a_fetch_that_swallows_its_cancellation_is_abandoned_named_and_logged(caplog):
    """(41) The answer comes a grace after the deadline, and the stray ends without a word."""
    release = []

    async def stubborn(x):
        released = asyncio.get_running_loop().create_future()
        release.append(released)
        while not released.done():
            try:
                await asyncio.shield(released)
            except asyncio.CancelledError:
                continue
        raise ValueError("too late to matter")

    graph = Graph(Given, stubborn, a=sleeper(1, "a"))

    async def main():
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        with caplog.at_level(logging.WARNING, logger="feature_graph"):
            found = await graph.resolve(["stubborn", "a"], given={"x": 1}, deadline=2)
        took_s = loop.time() - began_s
        release[0].set_result(None)
        await asyncio.wait(asyncio.all_tasks() - {asyncio.current_task()})
        return found, took_s

    found, took_s = run(main)
    assert found.statuses == {"stubborn": "timed_out", "a": "ok"}
    assert found.abandoned == ("stubborn",)
    assert took_s == pytest.approx(2.005)
    assert "abandoned" in caplog.text


def test_a_slow_finally_within_the_grace_is_awaited():
    """(41) After the answer its connection is closed."""
    closed = []

    async def tidy(x):
        try:
            await never()
        finally:
            await asyncio.sleep(0.003)
            closed.append(True)

    found, took_s = resolve(Graph(Given, tidy), "tidy", deadline=1)
    assert (closed, found.abandoned, took_s) == ([True], (), pytest.approx(1.003))
