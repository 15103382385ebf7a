"""Edge cases that no other file has, or had in a form that would not have failed. Numbers are the list's."""

from __future__ import annotations

import asyncio
import copy
import gc
import pickle
import subprocess
import sys
import weakref
from typing import Any, TypedDict

import pytest

from feature_graph import (
    ElementFailed,
    Graph,
    Outcome,
    ResolutionError,
    StandIn,
    Status,
    TransientError,
    batch,
    each,
    fetch,
    lookup,
    note,
    stand_by,
)
from feature_graph.errors import BadGraph, Recorded
from feature_graph.guards import Cache, Retry
from feature_graph.guards.ending import stop
from tests.feature_graph.virtual_time import VirtualLoop, run


class Given(TypedDict, total=False):
    x: Any
    items: Any


def concurrently(graph, goals, given=None, **options):
    return run(lambda: graph.resolve(goals, given={"x": 1, **(given or {})}, **options))


async def cancelled_at(graph, goals, at_s, items=()):
    task = asyncio.ensure_future(graph.resolve(goals, given={"x": 1, "items": items}))
    await asyncio.sleep(at_s)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(100)


# ---------------------------------------------------------------------- cancellation


@pytest.mark.parametrize("answer", ["a value", ConnectionError("reset")])
def test_a_fetch_that_makes_something_else_of_its_cancellation_begins_no_further_element(answer):
    """(41, 52) The caller has gone; the rest of the list is nobody's."""
    begun = []

    @fetch(fallback=0)
    async def price(item):
        begun.append(item)
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            if isinstance(answer, Exception):
                raise answer from None
        return answer

    graph = Graph(Given, prices=each(price, over="items", max_in_flight=2))
    run(lambda: cancelled_at(graph, "prices", 0.5, range(10)))
    assert begun == [0, 1]


@pytest.mark.parametrize("shape", ["fetch", "batch", "element"])
def test_what_was_cancelled_is_not_tried_again(shape):
    """(41, 46) Promise 8: clients turn a cancellation into an error of theirs, which Retry lists."""
    attempts = []

    async def ask(x):
        attempts.append(x)
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            raise TransientError("the connection was closed") from None

    one = fetch(retry=Retry(attempts=5))(ask)

    @batch(retry=Retry(attempts=5))
    async def many(keys):
        await ask(keys[0])

    goal = {
        "fetch": one,
        "batch": lookup(many, key="x"),
        "element": each(one, over="items", element="x"),
    }[shape]
    run(lambda: cancelled_at(Graph(Given, goal=goal), "goal", 0.5, [1]))
    assert attempts == [1]


def test_an_element_that_cancels_its_own_task_has_failed_and_the_others_have_values():
    """(42) As a cancel scope gone wrong does; no hole is left in the list."""

    async def suicidal(item):
        if item == 1:
            asyncio.current_task().cancel()
        await asyncio.sleep(1)
        return item

    @fetch(fallback=-1, timeout=5)
    async def or_nothing(item):
        return await suicidal(item)

    graph = Graph(
        Given,
        kept=each(or_nothing, over="items", max_in_flight=1),
        lost=each(suicidal, over="items", max_in_flight=1),
    )
    found = concurrently(graph, ["kept", "lost"], {"items": [0, 1, 2, 3]})
    assert found["kept"] == [0, -1, 2, 3]
    assert isinstance(found.outcomes["lost"].error, ElementFailed)
    assert found.outcomes["lost"].error.position == 1


def test_nothing_begins_when_a_required_goal_has_failed():
    """Promise 7: what became ready by that very failure is not begun; an eager task factory would run it."""
    begun = []

    async def fails(x):
        await asyncio.sleep(1)
        raise KeyError

    async def fetched(fails=0):
        begun.append("fetched")

    def derived(fails=0):
        begun.append("derived")

    async def main():
        with pytest.raises(ResolutionError) as failed:
            await Graph(Given, fails, fetched, derived).resolve(
                ["fails", "fetched", "derived"], given={"x": 1}, required=["fails"]
            )
        return failed.value.resolution

    found = run(main)
    assert begun == []
    assert [span.name for span in found.timeline] == ["fails"]


def test_keys_that_are_let_go_in_a_run_that_goes_on_are_not_asked_for():
    """(49) All waiters of a batch are gone before it is sent, while another goal is under way."""
    calls = []

    @batch()
    async def rows(keys):
        calls.append(list(keys))
        return {key: key for key in keys}

    async def fails(x):
        await asyncio.sleep(0)
        raise KeyError

    async def slow(x):
        await asyncio.sleep(9)
        return "slow"

    graph = Graph(Given, fails, slow, row=lookup(rows, key="x"), both=lambda fails, row: 1)
    found = concurrently(graph, ["both", "slow"])
    assert found["slow"] == "slow"
    assert found.outcomes["row"].status is Status.CANCELLED
    assert calls == []


def test_a_call_that_nobody_waits_for_is_ended_although_the_run_goes_on():
    """(49) Promise 10: with the last of those who wait, and not with the first."""
    ended_s = []

    @batch()
    async def rows(keys):
        try:
            await asyncio.sleep(9)
        finally:
            ended_s.append(asyncio.get_running_loop().time() - 1000)

    def failing(after_s):
        async def fails(x):
            await asyncio.sleep(after_s)
            raise KeyError

        return fails

    async def slow(x):
        await asyncio.sleep(5)
        return "slow"

    graph = Graph(
        Given,
        slow,
        early=failing(1),
        later=failing(2),
        first=lookup(rows, key="x"),
        second=lookup(rows, key="items"),
        a=lambda early, first: 1,
        b=lambda later, second: 1,
    )
    found = concurrently(graph, ["a", "b", "slow"], {"items": 2})
    assert found["slow"] == "slow"
    assert ended_s == [2.0]


def test_a_cancellation_that_was_held_back_while_the_run_cleaned_up_is_still_counted():
    """(44) ``cancelling`` is what an outer timeout goes by."""

    async def slow_to_die(x):
        try:
            await asyncio.sleep(100)
        finally:
            await asyncio.sleep(0.002)

    async def main():
        task = asyncio.ensure_future(
            Graph(Given, slow_to_die).resolve("slow_to_die", given={"x": 1}, deadline=1)
        )
        await asyncio.sleep(1.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return task.cancelling()

    assert run(main) == 1


def test_a_task_that_is_being_cancelled_is_not_cancelled_again():
    """(41) By a guard: it would break into its cleaning up."""

    async def main():
        cleaned = []

        async def copy():
            try:
                await asyncio.sleep(100)
            finally:
                await asyncio.sleep(1)
                cleaned.append(True)

        task = asyncio.ensure_future(copy())
        await asyncio.sleep(0)
        for _ in range(3):
            stop(task)
            await asyncio.sleep(0.1)
        await asyncio.wait([task])
        return cleaned

    assert run(main) == [True]


# ---------------------------------------------------------------------- demand, time, failure


@pytest.mark.parametrize("how", ["resolve", "resolve_in_order"])
def test_inputs_behind_a_given_value_need_not_be_given(how):
    """(17) Nothing behind it is so much as looked at."""
    graph = Graph(Given, behind=lambda items: pytest.fail("pruned"), goal=lambda behind, x: (behind, x))
    found = run(lambda: getattr(graph, how)("goal", given={"x": 1, "behind": None}))
    assert found["goal"] == (None, 1)
    assert "items" not in found.outcomes


def test_two_that_time_out_in_one_tick_are_told_in_the_order_in_which_they_began():
    """(35) One alarm rings for both."""

    async def slow(x):
        await asyncio.sleep(100)

    first, second = (fetch(timeout=1)(wrapped(slow)) for _ in range(2))
    graph = Graph(Given, first=first, second=second, both=lambda second, first: 1)
    for goals in (["first", "second", "both"], ["second", "first", "both"]):
        found = concurrently(graph, goals)
        assert found.outcomes["both"].root == goals[0]
        assert {found.outcomes[name].root for name in ("first", "second")} == {"first", "second"}


def wrapped(function):
    async def node(x):
        return await function(x)

    return node


def test_what_ends_in_the_tick_of_its_timeout_is_told_alike_everywhere():
    """(29) Value, outcome, span and consumer agree; the fetch is not heard twice."""
    seen = []

    @fetch(timeout=1, fallback="stand-in")
    async def fetched(x):
        await asyncio.sleep(1)
        return "value"

    def consumer(fetched):
        seen.append(fetched)
        return fetched

    for deadline in (None, 1, 2):
        seen.clear()
        found = concurrently(Graph(Given, fetched, consumer), ["fetched", "consumer"], deadline=deadline)
        status = found.outcomes["fetched"].status
        assert seen == [found["fetched"]] == [found["consumer"]]
        assert (status, found["fetched"]) in ((Status.OK, "value"), (Status.FALLBACK, "stand-in"))
        assert [span.status for span in found.timeline if span.name == "fetched"] == [status]


def test_a_fetch_that_swallows_its_timeout_and_answers_late_is_not_heard():
    """(29, 41) Its fallback stands; what it says within the grace is too late."""

    @fetch(timeout=1, fallback="stand-in")
    async def late(x):
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            return "late"

    async def busy(x):
        await asyncio.sleep(3)

    found = concurrently(Graph(Given, late, busy), ["late", "busy"])
    assert (found["late"], found.statuses["late"]) == ("stand-in", "fallback")
    assert next(span.end_s for span in found.timeline if span.name == "late") == 1.0


# ---------------------------------------------------------------------- company


@pytest.mark.skipif(not hasattr(asyncio, "eager_task_factory"), reason="Python 3.12 has it")
@pytest.mark.parametrize("turns", [None, *range(6)])
def test_under_an_eager_task_factory_all_is_the_same(turns):
    """(57) Where an application installed one: fetches, batches, lists, hedges, caches, nested runs."""

    class Eager(VirtualLoop):
        def __init__(self):
            super().__init__()
            self.set_task_factory(asyncio.eager_task_factory)

    async def at_once(x):
        return x

    async def waits(x):
        await asyncio.sleep(1)
        return x

    @batch(max=2)
    async def rows(keys):
        return {key: key for key in keys}

    inner = Graph(Given, at_once, waits)

    async def nested(x):
        found = await inner.resolve(["at_once", "waits"], given={"x": x})
        return found["at_once"] + found["waits"]

    graph = Graph(
        Given,
        at_once,
        waits,
        nested,
        row=lookup(rows, key="x"),
        many=each(at_once, over="items", element="x"),
        listed=each(lookup(rows, key="key"), over="items"),
        hedged=fetch(hedge=0.5, idempotent=True)(wrapped(waits)),
        cached=fetch(cache=Cache(1, key="x"))(wrapped(waits)),
        lost=fetch(timeout=0.5)(wrapped(waits)),
    )

    async def main():
        task = asyncio.ensure_future(
            graph.resolve(list(graph), given={"x": 1, "items": [1, 2, 3]}, deadline=5)
        )
        if turns is not None:
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
        return await task

    if turns is None:
        found = run(main, Eager)
        assert found["nested"] == 2
        assert found["many"] == found["listed"] == [1, 2, 3]
        assert set(found.statuses.items()) == {(name, "ok") for name in graph} - {("lost", "ok")} | {
            ("lost", "timed_out")
        }
    else:
        with pytest.raises(asyncio.CancelledError):
            run(main, Eager)


def test_python_in_development_mode_has_nothing_to_say():
    """(58) ``-X dev``, every warning an error: values, failures, timeouts, a cancelled caller."""
    told = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", IN_DEVELOPMENT],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (told.stdout, told.stderr, told.returncode) == ("{'row': 1, 'many': [1, 2], 'hung': 0}\n", "", 0)


IN_DEVELOPMENT = """
import asyncio
from typing import TypedDict
from feature_graph import Graph, batch, each, fetch, lookup

class Given(TypedDict):
    x: int
    items: list[int]

@batch(timeout=5)
async def rows(keys):
    await asyncio.sleep(0)
    return {key: key for key in keys}

@fetch(timeout=5)
async def one(item):
    await asyncio.sleep(0)
    return item

@fetch(timeout=0.01, fallback=0)
async def hung(x):
    await asyncio.sleep(60)

async def fails(x):
    raise ValueError(x)

graph = Graph(Given, hung, fails, row=lookup(rows, key="x"), many=each(one, over="items"))

async def main():
    found = await graph.resolve(["row", "many", "hung", "fails"], given=given, deadline=5)
    print(found.values)
    task = asyncio.ensure_future(graph.resolve(["row", "many", "hung"], given=given))
    await asyncio.sleep(0)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        pass

given = Given(x=1, items=[1, 2])
asyncio.run(main())
"""


# ---------------------------------------------------------------------- memory


def freed_without_the_collector(graph, goal, given, settle_s=0.0):
    """True if a value that only a run's resolution knows goes with it."""

    class Value:
        pass

    async def main():
        value = Value()
        seen = weakref.ref(value)
        found = await graph.resolve(goal, given={**given, "x": value})
        assert not found.outcomes[goal].has_value or found.outcomes[goal].status is Status.FALLBACK
        del value
        await asyncio.sleep(settle_s)
        gc.collect()
        gc.disable()
        try:
            del found
            return seen() is None
        finally:
            gc.enable()

    return run(main)


@pytest.mark.parametrize("fetched", [True, False])
def test_an_element_that_failed_ties_nothing_to_its_error(fetched):
    """(51) The frames of its list are in the traceback."""

    async def price(item, x):
        await asyncio.sleep(0)
        raise ValueError(x)

    def derived(item, x):
        raise ValueError(x)

    graph = Graph(Given, prices=each(price if fetched else derived, over="items"))
    assert freed_without_the_collector(graph, "prices", {"items": [1, 2]})


def test_a_fallback_that_raised_ties_nothing_to_its_error():
    """(51) What it raised came through the frames of the run."""

    def falls_back(error):
        raise RuntimeError(error)

    @fetch(fallback=falls_back)
    async def fails(x):
        await asyncio.sleep(0)
        raise ValueError(x)

    assert freed_without_the_collector(Graph(Given, fails), "fails", {})


def test_a_derived_node_that_fails_before_anything_waits_ties_nothing_to_its_error():
    """(51) It ran in the frames of the caller."""

    def derived(x):
        raise ValueError(x)

    assert freed_without_the_collector(Graph(Given, derived), "derived", {})


def test_what_stood_by_is_let_go_with_the_run():
    """(51) A value that was not needed, and one that was: neither is kept by the notes."""

    class Value:
        pass

    async def main(fails):
        values = []

        @fetch(cache=Cache(1, stale=100, key="x"))
        async def cached(x):
            if values and fails:
                raise OSError
            value = Value()
            values.append(weakref.ref(value))
            return value

        graph = Graph(Given, cached)
        await graph.resolve("cached", given={"x": 1})
        await asyncio.sleep(5)
        found = await graph.resolve("cached", given={"x": 1})
        assert found.outcomes["cached"].status == ("fallback" if fails else "ok")
        notes = weakref.ref(found.outcomes["cached"].notes)
        await asyncio.sleep(0)
        gc.collect()
        gc.disable()
        try:
            del found
            return notes() is None
        finally:
            gc.enable()

    assert run(lambda: main(fails=True))
    assert run(lambda: main(fails=False))


# ---------------------------------------------------------------------- travelling


@pytest.mark.parametrize(
    "error",
    [
        ElementFailed("element 3", 3),
        Recorded("no such customer", "shop.NoCustomer"),
        ResolutionError("the required goal", "goal", None),
        BadGraph(("one", "two")),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_are_pickled_and_copied(error):
    """(55) One that cannot be read back breaks the pool of processes that it travels through."""
    for other in (pickle.loads(pickle.dumps(error)), copy.deepcopy(error)):
        assert (type(other), str(other), vars(other)) == (type(error), str(error), vars(error))


async def tells(x):
    note(rows=3)
    stand_by(lambda error: StandIn(0))
    return x


def test_outcomes_are_pickled():
    """(55) With what the fetch told, and without what stood by."""
    outcome = concurrently(Graph(Given, tells), "tells").outcomes["tells"]
    assert pickle.loads(pickle.dumps(outcome)) == outcome
    assert pickle.loads(pickle.dumps(outcome)).notes == {"rows": 3}


def test_a_graph_that_is_switched_off_in_parts_stays_so_on_its_way():
    """(55) Its copy is no working graph."""
    graph = Graph(Given, tells)
    off = graph.without("tells").graph
    for other in (off, copy.deepcopy(off), copy.copy(off), pickle.loads(pickle.dumps(off))):
        assert concurrently(other, "tells").outcomes["tells"].status is Status.FAILED
    assert concurrently(graph, "tells").outcomes["tells"] == Outcome(Status.OK, 1)


# ---------------------------------------------------------------------- interrupts


@pytest.mark.parametrize("where", ["fetch", "batch", "element"])
def test_an_interrupt_in_the_middle_leaves_no_task_and_no_complaint(where):
    """(37) Promise 13: it goes out of the loop; what ``asyncio.run`` then does ends the run."""

    async def interrupted(x):
        await asyncio.sleep(1)
        raise KeyboardInterrupt

    @batch()
    async def rows(keys):
        await interrupted(1)

    async def slow(x):
        await asyncio.sleep(1000)

    goal = {
        "fetch": interrupted,
        "batch": lookup(rows, key="x"),
        "element": each(interrupted, over="items", element="x"),
    }[where]
    graph = Graph(Given, slow, goal=goal)
    complaints = []

    async def main():
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        await graph.resolve(["goal", "slow"], given={"x": 1, "items": [1, 2]})

    with asyncio.Runner(loop_factory=VirtualLoop) as runner, pytest.raises(KeyboardInterrupt):
        runner.run(main())
    gc.collect()
    assert complaints == []
