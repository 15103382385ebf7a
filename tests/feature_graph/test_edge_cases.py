"""Edge cases that no other file has, or had in a form that would not have failed. Numbers are the list's."""

from __future__ import annotations

import asyncio
import copy
import gc
import pickle
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
from tests.feature_graph.virtual_time import run


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

    from tests.feature_graph.virtual_time import VirtualLoop

    with asyncio.Runner(loop_factory=VirtualLoop) as runner, pytest.raises(KeyboardInterrupt):
        runner.run(main())
    gc.collect()
    assert complaints == []
