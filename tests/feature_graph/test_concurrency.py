"""What runs side by side takes the time of the longest; scale and company."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref

import pytest

from feature_graph import Graph, branch
from tests.feature_graph.timed_nodes import Given, four_levels_of_eight, needing, resolve, sleeper
from tests.feature_graph.virtual_time import VirtualLoop, run


def test_thirty_two_fetches_four_deep_take_four_times_one():
    """(22) The article's graph: 400 ms instead of 3,200."""
    found, took_s = resolve(four_levels_of_eight(0.1), [f"f3{place}" for place in range(8)])
    assert took_s == pytest.approx(0.4)
    assert found["f30"] == 8


def test_a_node_waits_for_its_own_dependencies_and_not_for_a_level():
    """(23) The critical path, not the sum of the slowest of each level."""
    graph = Graph(
        Given,
        quick=sleeper(1),
        slow=sleeper(5),
        after_quick=needing("quick", "x", 5),
        after_slow=needing("slow", "x", 1),
    )
    _, took_s = resolve(graph, ["after_quick", "after_slow"])
    assert took_s == pytest.approx(6)


def test_a_graph_of_derived_nodes_creates_no_task_and_never_yields():
    """The loop's task factory is not asked, and nobody else gets a turn."""
    graph = Graph(Given, a=lambda x: x, b=lambda a: a + 1, c=branch("a", then="b", otherwise="x"))

    async def main():
        turns = []
        loop = asyncio.get_running_loop()
        loop.call_soon(turns.append, 1)
        loop.set_task_factory(lambda *_, **__: pytest.fail("a task was created"))
        found = await graph.resolve("c", given={"x": 1}, deadline=1)
        loop.set_task_factory(None)
        return found["c"], list(turns)

    assert run(main) == (2, [])


def test_two_goals_may_finish_in_either_order():
    """(21)"""
    for a_s, b_s in ((1, 2), (2, 1)):
        found, took_s = resolve(Graph(Given, a=sleeper(a_s, "a"), b=sleeper(b_s, "b")), ["a", "b"])
        assert found.values == {"a": "a", "b": "b"}
        assert took_s == pytest.approx(2)


def test_the_answer_comes_at_the_deadline_and_keeps_what_is_there():
    """(25)"""
    graph = Graph(Given, a=sleeper(1, "a"), b=sleeper(3, "b"), c=lambda a: a * 2)
    found, took_s = resolve(graph, ["a", "b", "c"], deadline=2)
    assert took_s == pytest.approx(2)
    assert found.values == {"a": "a", "c": "aa"}
    assert found.statuses["b"] == "timed_out"


def test_fallbacks_and_derived_nodes_still_count_at_the_deadline():
    """What needs no waiting is worked out from the fallbacks."""
    graph = Graph(Given, a=sleeper(9, fallback=5), b=lambda a: a + 1, c=needing("a", "b"))
    found, took_s = resolve(graph, ["b", "c"], deadline=2)
    assert (found["b"], found.statuses["c"], took_s) == (6, "timed_out", pytest.approx(2))


def test_many_timeouts_share_one_alarm_and_each_comes_at_its_time():
    """Timeouts of different lengths, met and missed, in one run."""
    graph = Graph(
        Given,
        **{f"late{i}": sleeper(100, timeout=i) for i in (5, 1, 3)},
        **{f"met{i}": sleeper(i - 0.5, timeout=i) for i in (1, 2, 4)},
    )
    found, took_s = resolve(graph, list(graph), deadline=50)
    ends = {span.name: span.end_s for span in found.timeline}
    assert ends == {name: pytest.approx(int(name[-1]) - 0.5 * name.startswith("met")) for name in graph}
    assert took_s == pytest.approx(5)


def test_a_loop_that_rings_early_is_not_asked_again_and_again():
    """(27) The alarm counts by its own time, not by the clock's."""

    class Early(VirtualLoop):
        alarms = 0

        def call_at(self, when, callback, *args, **kwargs):
            Early.alarms += callback.__name__ == "_rings"
            return super().call_at(when - 0.0003, callback, *args, **kwargs)

    graph = Graph(Given, a=sleeper(9, timeout=1), b=sleeper(9))
    found = run(lambda: graph.resolve(["a", "b"], given={"x": 1}, deadline=2), Early)
    assert found.statuses == {"a": "timed_out", "b": "timed_out"}
    assert 2 <= Early.alarms <= 4


def test_a_fetch_that_ends_in_the_tick_of_its_timeout_has_one_outcome():
    """(29) The same one every time."""
    graph = Graph(Given, a=sleeper(1, timeout=1), b=lambda a: a)
    statuses = {resolve(graph, "b")[0].statuses["b"] for _ in range(5)}
    assert len(statuses) == 1


def test_two_failures_in_one_tick_are_told_deterministically():
    """(35) The consumer names the first; both are in the outcomes."""

    async def fails(x):
        raise ValueError

    async def fails_too(x):
        raise KeyError

    graph = Graph(Given, fails, fails_too, both=lambda fails_too, fails: 1)
    for _ in range(5):
        found, _ = resolve(graph, ["both", "fails", "fails_too"])
        assert found.outcomes["both"].root == "fails_too"
        assert {found.statuses["fails"], found.statuses["fails_too"]} == {"failed"}


def test_a_chain_of_ten_thousand_and_five_thousand_side_by_side():
    """(50) No recursion, no queue with a cap."""
    chain = {f"n{i}": eval(f"lambda n{i - 1}: n{i - 1} + 1") for i in range(1, 10_000)}
    graph = Graph(Given, n0=lambda x: x, **chain)
    assert resolve(graph, "n9999")[0]["n9999"] == 10_000
    assert graph.worst_case("n9999") == 0.0

    wide = Graph(Given, **{f"w{i}": sleeper(1) for i in range(5_000)})
    found, took_s = resolve(wide, list(wide))
    assert (len(found.values), took_s) == (5_000, pytest.approx(1))


def test_a_failure_at_the_root_of_a_chain_of_ten_thousand_reaches_its_end():
    """(50) Failing does not recurse either."""
    chain = {f"n{i}": eval(f"lambda n{i - 1}: 1") for i in range(1, 10_000)}
    found, _ = resolve(Graph(Given, n0=lambda x: x / 0, **chain), "n9999")
    assert found.outcomes["n9999"].root == "n0"


def test_nothing_keeps_a_finished_run_but_its_resolution():
    """(51) No cycle through a traceback, a task or a timer: reference counting alone frees it."""

    class Value:
        pass

    async def makes(x):
        await asyncio.sleep(0)
        return Value()

    async def fails(makes):
        await asyncio.sleep(0)
        raise ValueError(makes)

    def fails_too(makes):
        raise ValueError(makes)

    graph = Graph(Given, makes, fails, fails_too, late=sleeper(9, timeout=1), last=lambda fails, late: 1)

    async def main():
        found = await graph.resolve(["makes", "last", "late", "fails_too"], given={"x": 1}, deadline=0.5)
        watched = weakref.ref(found["makes"])
        await asyncio.sleep(5)
        gc.disable()
        try:
            del found
            return watched()
        finally:
            gc.enable()

    gc.collect()
    assert run(main) is None


def test_one_graph_serves_concurrent_runs_and_threads():
    """(54, 56) Two loops in two threads, many runs each."""
    graph = Graph(Given, a=sleeper(0), b=needing("a", "x"), c=lambda b, x: x)
    answers: list[int] = []

    async def many(base):
        found = await asyncio.gather(*(graph.resolve("c", given={"x": base + i}) for i in range(50)))
        return [one["c"] for one in found]

    threads = [
        threading.Thread(target=lambda base=base: answers.extend(asyncio.run(many(base)))) for base in (0, 50)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == list(range(100))


def test_uvloop_gives_the_same():
    """(57) Real time, but no wait worth the name."""
    uvloop = pytest.importorskip("uvloop")
    graph = Graph(Given, a=sleeper(0, "a"), hung=sleeper(60, timeout=0.001), b=lambda a: a * 2)
    found = run(lambda: graph.resolve(["b", "hung"], given={"x": 1}, deadline=1), uvloop.new_event_loop)
    assert found.statuses == {"b": "ok", "hung": "timed_out"}


def test_the_loops_debug_mode_has_nothing_to_say(recwarn):
    """(58)"""
    graph = Graph(Given, a=sleeper(1, timeout=5), b=sleeper(9, timeout=1), c=lambda a, b: 1)

    async def main():
        asyncio.get_running_loop().set_debug(True)
        return (await graph.resolve(["a", "c"], given={"x": 1}, deadline=3)).statuses

    assert run(main) == {"a": "ok", "c": "upstream_failed"}
    assert not recwarn.list


def test_an_eager_task_factory_does_no_harm():
    """Where an application has installed one, a fetch may end before its task is known."""

    def eager(loop, coroutine, **kwargs):
        task = asyncio.Task(_finished(), loop=loop)
        try:
            coroutine.send(None)
        except StopIteration:
            return task
        raise AssertionError("this factory is for fetches that never suspend")

    async def _finished():
        return None

    async def a(x):
        return 1

    async def b(a):
        return a + 1

    graph = Graph(Given, a, b, c=lambda b: b + 1)

    async def main():
        loop = asyncio.get_running_loop()
        loop.set_task_factory(eager)
        try:
            return (await graph.resolve("c", given={"x": 1}, deadline=1))["c"]
        finally:
            loop.set_task_factory(None)
            await asyncio.sleep(0)

    assert run(main) == 3
