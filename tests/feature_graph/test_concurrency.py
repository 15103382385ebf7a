"""What only the concurrent engine can get wrong: overlap, time, cancellation, and what is left behind."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import weakref
from typing import TypedDict

import pytest

from feature_graph import Graph, ResolutionError, Status, branch, fetch, first_of
from tests.feature_graph.virtual_time import VirtualLoop, never, run


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


# ---------------------------------------------------------------------- cancellation


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


# ---------------------------------------------------------------------- scale and company


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
