"""All guards together: what they cost nothing for, what they refuse, and that they leave nothing behind."""

from __future__ import annotations

import asyncio
import contextvars
import copy
import functools
import gc
import pickle
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import TypedDict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_graph import BadGraph, Graph, Status, fetch
from feature_graph.guards import Breaker, Cache, Retry, Source, check, guarded
from feature_graph.guards.thread import _Work
from feature_graph.node import FetchOptions
from tests.feature_graph.guards.scripted import Fatal, Script, Transient, guard, settle
from tests.feature_graph.virtual_time import VirtualLoop, run


class Given(TypedDict, total=False):
    x: int


async def plain(x, y=0):
    return x


def blocks(x):
    return threading.get_ident()


def test_a_function_without_guards_is_itself():
    """No guard, no cost."""
    assert guard(plain) is plain
    assert guard(plain, timeout_s=1.0, fallback=None, idempotent=True) is plain


COMBINATIONS = {
    "source": lambda: {"source": Source("s", max_in_flight=1, breaker=Breaker())},
    "retry": lambda: {"retry": Retry(on=Transient, backoff=1)},
    "attempt timeout": lambda: {"retry": Retry(on=Transient, backoff=1, attempt_timeout=4)},
    "hedge": lambda: {"hedge": 2.0, "source": Source("s", max_extra_load=1)},
    "cache": lambda: {"cache": Cache(5, key="x", stale=9)},
    "cache, retry": lambda: {
        "cache": Cache(0, key="x"),
        "retry": Retry(on=Transient, attempts=9, backoff=1),
        "source": Source("s", max_in_flight=2, retry_budget=None, breaker=Breaker(at_least=2)),
    },
    "cache, hedge": lambda: {
        "cache": Cache(1, key="x"),
        "hedge": 2.0,
        "source": Source("s", max_in_flight=3, max_waiting=2, max_extra_load=1),
    },
}
SCRIPT = st.lists(
    st.tuples(st.integers(0, 5), st.sampled_from(["value", Transient(), Fatal(), asyncio.CancelledError()])),
    min_size=1,
    max_size=8,
)


@pytest.mark.parametrize("combination", COMBINATIONS)
@settings(max_examples=40, deadline=None)
@given(entries=SCRIPT, cleaning_s=st.sampled_from([0, 0, 1]), consumers=st.integers(1, 4))
def test_cancelled_at_any_turn_it_leaves_no_task_no_place_and_no_unseen_error(
    combination, entries, cleaning_s, consumers
):
    """(37, 39, 43) One of several consumers is cancelled after k turns of the loop, for all k."""
    for turns in range(200):
        script = Script(entries, cleaning_s=cleaning_s)
        options = COMBINATIONS[combination]()
        if not run(functools.partial(cancelled_after, turns, script, options, consumers)):
            break
    else:
        raise AssertionError("200 turns were not enough")


async def cancelled_after(turns, script, options, consumers):
    """Run, and say whether the cancelled one was still at it."""
    call = guard(script, **options)

    async def consumer():
        return await settle(call(0))

    tasks = [asyncio.create_task(consumer()) for _ in range(consumers)]
    for _ in range(turns):
        await asyncio.sleep(0)
        if not asyncio.get_running_loop()._ready:
            await asyncio.sleep(0.25)
    cancelled = tasks[0].cancel()
    await asyncio.wait(tasks)
    for task in tasks:
        assert task.cancelled() or task.result()[0] in ("value", "error")
    for _ in range(3):  # a loser ends a turn after the winner, outside a run
        await asyncio.sleep(0)
    if script.cleaning_s:
        await asyncio.sleep(3)
    assert script.under_way == 0
    source, cache = options.get("source"), options.get("cache")
    if source is not None:
        assert (source.state().in_flight, source.state().waiting) == (0, 0)
    if cache is not None:
        assert cache._flights == {}
    return cancelled


def test_an_outer_timeout_counts_its_own_cancellation_and_no_other():
    """(44) cancelling() is what it was, after hedges, retries and shared fetches."""

    async def main():
        for make in COMBINATIONS.values():
            task = asyncio.current_task()
            failing, late = (guard(Script([(3, Transient()), (99, 0)]), **make()) for _ in range(2))
            with pytest.raises(TimeoutError):  # noqa: PT012 - the timeout is what is looked at
                async with asyncio.timeout(3.5):
                    await settle(failing(1))
                    await late(2)
            assert task.cancelling() == 0

    run(main)


class Kept(Exception):
    """Can be watched."""


@pytest.mark.parametrize("combination", COMBINATIONS)
def test_errors_are_not_kept_alive_by_the_frames_they_passed(combination):
    """(51) No reference cycle: memory is free without the garbage collector."""
    left = []

    def watched():
        error = Kept()
        left.append(weakref.ref(error))
        return error

    async def fails(x):
        await asyncio.sleep(1)
        raise watched()

    call = guard(fails, **COMBINATIONS[combination]())
    graph = Graph(Given, fails=fetch(idempotent=True, **COMBINATIONS[combination]())(fails))

    async def main():
        await graph.resolve(
            "fails", given={"x": 0}
        )  # its plan is made, and 3.12 keeps the first run for a while
        left.clear()
        for _ in range(3):
            kind, error = await settle(call(1))
            assert kind == "error"
            del error
            await graph.resolve("fails", given={"x": 1})
            await asyncio.sleep(20)

    gc.collect()
    gc.disable()
    try:
        run(main)
        assert [ref() for ref in left if ref() is not None] == []
    finally:
        gc.enable()


async def module_level(x):
    return x + 1


GUARDS = FetchOptions(
    source=Source("pickled", max_in_flight=3, breaker=Breaker()),
    retry=Retry(on=OSError, attempt_timeout=2),
    cache=Cache(10, key="x", stale=5),
)


def test_a_guarded_function_is_pickled_with_its_settings_and_copied_with_its_state():
    """(55) A copy asks the same upstream and counts with it; another process begins anew."""
    call = guarded(module_level, GUARDS, "node")
    for other in (pickle.loads(pickle.dumps(call)), copy.deepcopy(call)):
        assert asyncio.run(settle(other(1))) == ("value", 2)
    source = copy.deepcopy(GUARDS.source)
    assert source is GUARDS.source
    assert copy.copy(GUARDS.cache) is GUARDS.cache
    fresh = pickle.loads(pickle.dumps(GUARDS))
    assert fresh.source is not source
    assert (fresh.source.name, fresh.source.state().calls, source.state().calls) == ("pickled", 0, 1)
    assert fresh.retry == GUARDS.retry
    hedged = pickle.loads(pickle.dumps(guard(module_level, hedge="p95", idempotent=True)))
    assert asyncio.run(hedged(1)) == 2


def test_functions_without_a_source_have_one_of_their_own():
    """Two graphs with one function share its budget, two functions share nothing."""
    flaky = Script([(0, Transient())])

    async def node(x):
        return await flaky(x)

    first, again = (
        guard(node, retry=Retry(on=Transient, backoff=0)),
        guard(node, retry=Retry(on=Transient, backoff=0)),
    )
    assert first._source is again._source
    assert guard(plain, retry=Retry())._source is not first._source
    method = functools.partial(Script([(0, 1)]), 1)
    assert run(guard(method, retry=Retry())) == 1


def test_a_blocking_function_runs_in_a_thread_and_sees_the_callers_context():
    """(53) blocking=True on a plain def, with and without a source."""
    variable = contextvars.ContextVar("variable", default="unset")

    def node(x):
        seen, here = variable.get(), threading.get_ident()
        variable.set("changed in the thread")
        return seen, here

    for options in ({}, {"source": Source("s", max_in_flight=1)}, {"cache": Cache(1, key="x")}):
        graph = Graph(Given, node=fetch(blocking=True, **options)(node))

        async def main(graph=graph):
            variable.set("the caller's")
            return (await graph.resolve("node", given={"x": 1}))["node"], variable.get()

        (seen, thread), after = asyncio.run(main())
        assert (seen, after) == ("the caller's", "the caller's")
        assert thread != threading.get_ident()


def test_a_thread_keeps_its_place_until_it_has_ended():
    """Cancellation ends the wait; the thread cannot be stopped and so still counts as under way."""
    go, began, ran = threading.Event(), threading.Event(), []

    def node(x):
        ran.append(x)
        began.set()
        go.wait(20)
        return x

    source = Source("s", max_in_flight=1)
    call = guard(node, blocking=True, source=source)

    async def main():
        first = asyncio.create_task(call(1))
        await asyncio.to_thread(began.wait, 20)
        second, never = asyncio.create_task(call(2)), asyncio.create_task(call(3))
        first.cancel()
        await asyncio.wait([first])
        assert first.cancelled()
        await asyncio.sleep(0)
        assert (source.state().in_flight, source.state().waiting) == (1, 2)
        never.cancel()
        go.set()
        assert await second == 2

    asyncio.run(main())
    assert (ran, source.state().in_flight, source.state().waiting) == ([1, 2], 0, 0)


def test_a_blocking_call_that_no_thread_has_begun_is_never_begun():
    """The executor's queue is longer than the patience of who waits."""
    go, began, ran = threading.Event(), threading.Event(), []
    source = Source("s")

    def node(x):
        ran.append(x)
        began.set()
        go.wait(20)

    call = guard(node, blocking=True, source=source)

    async def main():
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
        first = asyncio.create_task(call(1))
        second = asyncio.create_task(call(2))
        with ThreadPoolExecutor(1) as other:
            await asyncio.get_running_loop().run_in_executor(other, began.wait, 20)
        second.cancel()
        await asyncio.wait([second])
        assert source.state().in_flight == 1
        go.set()
        await first

    asyncio.run(main())
    assert (ran, source.state().in_flight) == ([1], 0)


def test_a_thread_that_comes_too_late_does_nothing():
    """Dropped between the executor's decision to begin and the first step; its place is given back once."""
    ran, left = [], []
    work = _Work(lambda: ran.append(1), lambda: left.append(1))
    work.drop()
    work.run()
    assert (ran, left) == ([], [1])


def test_a_blocking_function_that_raises_what_no_future_takes():
    """(36) StopIteration would leave the waiter without an answer for ever."""

    def node(x):
        raise StopIteration

    kind, error = asyncio.run(settle(guard(node, blocking=True)(1)))
    assert (kind, type(error), type(error.__cause__)) == ("error", RuntimeError, StopIteration)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"source": "bureau"}, "source='bureau'; legal: a Source"),
        ({"retry": 3}, "retry=3; legal: a Retry"),
        ({"cache": 60}, "cache=60; legal: a Cache"),
        (
            {"cache": Cache(1, key="customer")},
            "caches by 'customer', which is no parameter of it; did you mean 'customer_id'",
        ),
        (
            {"cache": Cache(1, key=("x", "zz"))},
            "caches by 'zz', which is no parameter of it; legal: customer_id, x",
        ),
        (
            {"retry": Retry(attempt_timeout=2), "timeout": 2},
            "gives an attempt 2 s, and all of them together 2 s",
        ),
    ],
)
def test_guards_that_make_no_sense_are_refused_when_the_graph_is_built(options, says):
    """One message, with the node and its place."""

    async def node(customer_id, x):
        return x

    with pytest.raises(BadGraph, match=r"'node' at .*test_guarded.py:\d+ .*" + says):
        Graph(Given, node=fetch(**options)(node), customer_id=lambda x: x)


def test_several_mistakes_are_told_together():
    options = FetchOptions(hedge="soon", retry=Retry(), blocking=True, source="bureau")
    assert len(check(options, "node", "file.py:1", ())) == 5


class Weird(BaseException):
    """Neither an Exception nor a cancellation."""


@pytest.mark.parametrize("combination", COMBINATIONS)
def test_an_error_of_any_kind_comes_through(combination):
    """(36) A BaseException of the user's own, an exception group, one that takes no arguments."""
    for error in (Weird(), ExceptionGroup("two", [Fatal(), Fatal()]), asyncio.InvalidStateError()):

        async def node(x, error=error):
            await asyncio.sleep(0)
            raise error

        graph = Graph(Given, node=fetch(idempotent=True, **COMBINATIONS[combination]())(lambda_of(node)))
        outcome = run(lambda graph=graph: graph.resolve("node", given={"x": 1})).outcomes["node"]
        assert (outcome.status, outcome.error) == (Status.FAILED, error)


def lambda_of(function):
    async def node(x):
        return await function(x)

    return node


@pytest.mark.parametrize("debug", [False, True])
def test_asyncios_debug_mode_has_nothing_to_complain_of(debug):
    """(58) Nor has a loop with its own idea of time."""

    def loop():
        made = VirtualLoop()
        made.set_debug(debug)
        return made

    for make in COMBINATIONS.values():
        call = guard(Script([(1, Transient()), (9, "late"), (1, "value")]), **make())
        run(lambda call=call: asyncio.wait_for(settle(call(1)), 30), loop)


@pytest.mark.parametrize("combination", COMBINATIONS)
def test_on_uvloop_it_is_the_same(combination):
    """(57) Real time, on the other loop: a late call, an error, a value, and a deadline."""
    uvloop = pytest.importorskip("uvloop")
    options = COMBINATIONS[combination]()
    script = Script([(0, Transient()), (0.001, "value"), (9, "late")])

    async def node(x):
        return await script(x)

    graph = Graph(Given, node=fetch(idempotent=True, **options)(node))

    async def main():
        for x in range(4):
            found = await graph.resolve("node", given={"x": x}, deadline=0.01)
            assert found.outcomes["node"].status in (Status.OK, Status.FAILED, Status.TIMED_OUT)
        assert len(asyncio.all_tasks()) == 1
        assert script.under_way == 0

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
