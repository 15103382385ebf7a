"""Values across runs: one fetch for all, nobody's to cancel; fresh, then stale rather than none."""

from __future__ import annotations

import asyncio
import threading
from typing import TypedDict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_graph import BadGraph, Graph, Status, fetch, remaining
from feature_graph.guards import Cache, Retry, Source
from tests.feature_graph.guards.scripted import Fatal, Script, Transient, guard, now, settle
from tests.feature_graph.virtual_time import run


class Given(TypedDict, total=False):
    x: object


def graph_of(function, cache, **options):
    async def node(x):
        return await function(x)

    return Graph(Given, fetch(cache=cache, **options)(node))


async def outcome(graph, x=1, deadline=None):
    return (await graph.resolve("node", given={"x": x}, deadline=deadline)).outcomes["node"]


def test_a_value_is_fetched_once_and_kept_for_its_ttl():
    script, cache = Script([(1, "old"), (1, "new")]), Cache(10, key="x")
    graph = graph_of(script, cache)

    async def main():
        assert (await outcome(graph)).notes["cache"] == "miss"
        await asyncio.sleep(9)
        hit = await outcome(graph)
        assert (hit.status, hit.value) == (Status.OK, "old")
        assert (hit.notes["cache"], hit.notes["age_s"]) == ("hit", pytest.approx(9))
        await asyncio.sleep(1)
        assert (await outcome(graph)).value == "new"
        assert (script.calls, cache.state().hits, cache.state().misses) == (2, 1, 2)

    run(main)


def test_consumers_in_many_runs_share_one_fetch_and_what_it_notes():
    """Single flight; the attempts of the shared fetch are in the notes of all."""
    script = Script([(1, Transient()), (1, "value")])
    graph = graph_of(script, Cache(10, key="x"), retry=Retry(on=Transient, backoff=0))

    async def main():
        found = await asyncio.gather(*(outcome(graph) for _ in range(100)))
        assert {each.value for each in found} == {"value"}
        assert {each.notes["attempts"] for each in found} == {2}
        assert script.calls == 2

    run(main)


def test_an_impatient_consumer_detaches_and_the_patient_one_has_the_value():
    """(40) The first who wanted it gives up; neither the fetch nor the key is poisoned."""
    script, cache = Script([(3, "value")]), Cache(10, key="x")
    graph = graph_of(script, cache)

    async def main():
        impatient = asyncio.create_task(outcome(graph, deadline=1))
        await asyncio.sleep(0.5)
        patient = asyncio.create_task(outcome(graph, deadline=9))
        assert (await impatient).status is Status.TIMED_OUT
        assert (await patient).value == "value"
        assert (await outcome(graph)).value == "value"
        assert (script.calls, script.ended) == (1, ["ended"])

    run(main)


def test_when_the_last_consumer_has_left_the_fetch_is_cancelled_and_seen_ended():
    """Promise 6: and the next one starts anew, even while the old one still cleans up."""
    script, cache = Script([(9, "first"), (1, "second")], cleaning_s=2), Cache(10, key="x")
    call = guard(script, cache=cache)

    async def main():
        one, two = asyncio.create_task(call(1)), asyncio.create_task(call(1))
        await asyncio.sleep(1)
        one.cancel()
        await asyncio.wait([one])
        assert script.ended == ["under way"]
        two.cancel()
        await asyncio.sleep(0)
        assert await call(1) == "second"
        assert not two.done()
        await asyncio.wait([two])
        assert (script.ended, now()) == (["cancelled", "ended"], pytest.approx(1003))
        assert await call(1) == "second"

    run(main)


def test_a_consumer_that_leaves_in_the_turn_in_which_the_fetch_begins_leaves_nothing_behind():
    script, cache = Script([(1, "value")]), Cache(10, key="x")
    call = guard(script, cache=cache)

    async def main():
        early = asyncio.create_task(call(1))
        asyncio.get_running_loop().call_soon(early.cancel)
        await asyncio.wait([early])
        assert script.ended == ["cancelled"]
        assert await call(1) == "value"

    run(main)


def test_a_failure_is_shared_by_those_who_wait_and_not_kept():
    """The same error goes to all, and its traceback does not grow with them."""
    error = Fatal("down")
    script, cache = Script([(1, error), (1, "value")]), Cache(10, key="x")
    call = guard(script, cache=cache)

    async def main():
        found = await asyncio.gather(*(settle(call(1)) for _ in range(10)))
        assert {each for _, each in found} == {error}
        depth, frame = 0, error.__traceback__
        while frame is not None:
            depth, frame = depth + 1, frame.tb_next
        assert depth <= 6
        assert await call(1) == "value"

    run(main)


@pytest.mark.parametrize("how", ["raises", "times out", "cancels itself"])
def test_an_expired_value_stands_in_for_a_fetch_that_has_none(how):
    """Promise 5: stale before the declared fallback, told as a fallback, with the reason and the age."""
    endings = {
        "raises": (1, Fatal("down")),
        "times out": (99, "late"),
        "cancels itself": (1, asyncio.CancelledError()),
    }
    script = Script([(0, "old"), endings[how]])
    cache = Cache(10, stale=100, key="x")
    graph = graph_of(script, cache, timeout=2, fallback="declared")

    async def main():
        assert (await outcome(graph)).value == "old"
        await asyncio.sleep(50)
        found = await outcome(graph)
        assert (found.status, found.value) == (Status.FALLBACK, "old")
        assert found.error is not None
        assert (found.notes["cache"], cache.state().stale) == ("stale", 1)
        assert found.notes["stale_s"] == pytest.approx(50, abs=2.1)
        await asyncio.sleep(60)
        found = await outcome(graph)
        assert found.value == "declared"

    run(main)


def test_an_expired_value_is_not_used_when_the_fetch_succeeds():
    script, cache = Script([(0, "old"), (1, "new")]), Cache(10, stale=100, key="x")
    graph = graph_of(script, cache)

    async def main():
        await outcome(graph)
        await asyncio.sleep(50)
        found = await outcome(graph)
        assert (found.status, found.value) == (Status.OK, "new")
        assert "stale_s" not in found.notes

    run(main)


def test_a_stand_in_is_not_kept_as_a_value():
    """What another cache, or a nested run, could only stand in with, is asked for again."""
    from feature_graph import StandIn

    script, cache = Script([(0, StandIn("old")), (0, "new")]), Cache(10, key="x")
    graph = graph_of(script, cache)

    async def main():
        found = await outcome(graph)
        assert (found.status, found.value) == (Status.FALLBACK, "old")
        assert (await outcome(graph)).value == "new"

    run(main)


def test_a_shared_fetch_has_the_time_of_its_most_patient_consumer():
    """Its deadline moves as consumers come and go; a retry goes by it, and so does what it hands on."""
    told = []

    async def node():
        for _ in range(3):
            told.append(remaining())
            await asyncio.sleep(1)

    graph = Graph(Given, fetch(cache=Cache(10, key=("x",)))(needing_x(node)))

    async def main():
        one = asyncio.create_task(outcome(graph, deadline=5))
        await asyncio.sleep(0.5)
        two = asyncio.create_task(outcome(graph, deadline=50))
        await asyncio.sleep(1)
        two.cancel()
        await asyncio.wait([one, two])

    run(main)
    assert told == pytest.approx([5, 49.5, 3])


def needing_x(function):
    async def node(x):
        return await function()

    return node


def test_one_who_waits_for_ever_has_no_deadline_and_joins_as_a_day():
    """No loop takes an infinite timer."""
    told = []

    async def node():
        told.append(remaining())
        await asyncio.sleep(1)
        told.append(remaining())

    graph = Graph(Given, fetch(cache=Cache(0, key="x"))(needing_x(node)))

    async def main():
        await outcome(graph)
        one = asyncio.create_task(outcome(graph, deadline=5))
        await asyncio.sleep(0.5)
        await outcome(graph)
        await one

    run(main)
    assert told == [None, None, pytest.approx(5), 86_400]


def test_keys_tell_types_apart_and_functions_and_parameters():
    """1, True and 1.0 are one key to a dict; two functions may share a cache."""
    cache, seen = Cache(10, key=("x", "y"), max_entries=99), []

    async def one(x, client, y=7, *, z=0):
        seen.append(("one", x, y))
        return x

    async def two(client, *, y, x):
        seen.append(("two", x, y))
        return x

    first, second = guard(one, cache=cache), guard(two, cache=cache)

    async def main():
        await first(1, "client")
        await first(1, "another", 7)
        await first(1, "another", y=7, z=5)
        await first(True, "client")
        await first(1.0, "client")
        await second("client", y=7, x=1)
        await second("another", x=1, y=7)

    run(main)
    assert [(name, type(x)) for name, x, _ in seen] == [
        ("one", int),
        ("one", bool),
        ("one", float),
        ("two", int),
    ]


def test_a_key_that_cannot_be_one_is_told_by_name():
    graph = graph_of(Script([(0, 1)]), Cache(10, key="x"))

    async def main():
        found = await outcome(graph, x=[1])
        assert found.status is Status.FAILED
        assert (
            str(found.error) == "the cache of 'node' cannot keep anything by x=[1]: unhashable type: 'list'"
        )

    run(main)


def test_the_least_recently_used_goes_first():
    script, cache = Script([(0, "value")]), Cache(10, key="x", max_entries=2)
    call = guard(script, cache=cache)

    async def main():
        for x in (1, 2, 1, 3, 1, 2):
            await call(x)
        assert (script.calls, cache.state().entries) == (4, 2)
        cache.clear()
        await call(1)
        assert script.calls == 5

    run(main)


def test_without_a_ttl_fetches_are_shared_and_nothing_is_kept():
    script, cache = Script([(1, "value")]), Cache(0, key="x")
    call = guard(script, cache=cache)

    async def main():
        await asyncio.gather(call(1), call(1))
        await call(1)
        assert (script.calls, cache.state().entries, cache.state().shared) == (2, 0, 1)

    run(main)


def test_the_loser_of_a_shared_hedge_is_seen_ended_by_every_run_that_waited():
    """No task outlives a run, even if the run shares the fetch that started it."""
    script = Script([(9, "first"), (1, "second")], cleaning_s=0.003)
    graph = graph_of(script, Cache(10, key="x"), hedge=2, idempotent=True)

    async def main():
        async def one():
            found = await outcome(graph)
            assert script.ended == ["cancelled", "ended"]
            return found.value, found.notes["hedge"]

        assert set(await asyncio.gather(*(one() for _ in range(3)))) == {("second", "won")}

    run(main)


def test_two_loops_share_values_and_fetch_each_for_itself():
    """(56) A task belongs to its loop; what it found belongs to all."""
    cache, calls, barrier = Cache(60, key="x"), [], threading.Barrier(2)

    async def node(x):
        calls.append(x)
        await asyncio.to_thread(barrier.wait, 10)
        return object()

    call, found = guard(node, cache=cache), []

    async def main():
        await asyncio.gather(call(1), call(1))
        found.append(await call(1))

    threads = [threading.Thread(target=lambda: asyncio.run(main())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert (len(calls), len(found)) == (2, 2)

    async def later():
        return await call(1)

    assert asyncio.run(later()) in found


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"ttl": -1}, "ttl is -1; legal: seconds from 0"),
        ({"ttl": None}, "ttl is None"),
        ({"ttl": "1h"}, "ttl is '1h'"),
        ({"stale": -1}, "stale is -1; legal: seconds from 0"),
        ({"key": ()}, r"key is \(\); legal: names of the parameters"),
        ({"key": (1,)}, r"key is \(1,\); legal"),
        ({"max_entries": 0}, "max_entries is 0; legal: a whole number from 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, says):
    with pytest.raises(BadGraph, match=says):
        Cache(**{"ttl": 1, "key": "x", **settings})


CONSUMERS = st.lists(
    st.tuples(st.integers(0, 12), st.integers(1, 6), st.integers(0, 1)), min_size=1, max_size=8
)
FETCHES = st.lists(st.tuples(st.integers(1, 5), st.sampled_from(["value", Fatal()])), min_size=1, max_size=4)


@settings(max_examples=300, deadline=None)
@given(CONSUMERS, FETCHES, st.integers(0, 4))
def test_random_consumers_equal_a_model_in_sequence(consumers, fetches, ttl):
    """(40) Arrival, patience, key: what each gets and when, and which fetches are begun and cancelled."""
    scripts = {key: Script([(seconds, outcome) for seconds, outcome in fetches]) for key in (0, 1)}
    cache = Cache(ttl + 1 / 512 if ttl else 0, key="x")
    call = guard(by_key(scripts), cache=cache)

    async def consumer(number, arrives, patience, key):
        await asyncio.sleep(arrives + number / 64)
        task = asyncio.ensure_future(settle(call(key)))
        done, _ = await asyncio.wait([task], timeout=patience + 1 / 256)
        if not done:
            task.cancel()
            await asyncio.wait([task])
            return "gave up", now() - 1000
        return task.result()[1], now() - 1000

    async def main():
        return await asyncio.gather(*(consumer(number, *each) for number, each in enumerate(consumers)))

    found = run(main)
    for key, script in scripts.items():
        mine = [(number, *each[:2]) for number, each in enumerate(consumers) if each[2] == key]
        expected, began = shared(mine, fetches, ttl + 1 / 512 if ttl else 0)
        assert [each - 1000 for each in script.began] == pytest.approx(began)
        for number, (answer, at_s) in expected.items():
            assert found[number] == (answer, pytest.approx(at_s))
        assert script.under_way == 0


def by_key(scripts):
    async def node(x):
        return await scripts[x](x)

    return node


def shared(consumers, fetches, ttl):
    """A fetch at a time, with the consumers that join before it ends; events in the order of time."""
    answers, began, kept_until = {}, [], -1.0
    waiting = sorted((arrives + number / 64, number, patience) for number, arrives, patience in consumers)
    flight = None  # [ends, outcome, {number: gives up}]
    while waiting or flight:
        next_s = waiting[0][0] if waiting else float("inf")
        if flight:
            leaves_s, leaver = min((until_s, number) for number, until_s in flight[2].items())
            if flight[0] <= min(leaves_s, next_s):
                for number in flight[2]:
                    answers[number] = (flight[1], flight[0])
                kept_until = flight[0] + ttl if flight[1] == "value" else -1.0
                flight = None
                continue
            if leaves_s <= next_s:
                del flight[2][leaver]
                answers[leaver] = ("gave up", leaves_s)
                flight = flight if flight[2] else None
                continue
        at_s, number, patience = waiting.pop(0)
        if flight is None and at_s < kept_until:
            answers[number] = ("value", at_s)
            continue
        if flight is None:
            seconds, outcome = fetches[min(len(began), len(fetches) - 1)]
            began.append(at_s)
            flight = [at_s + seconds, outcome, {}]
        flight[2][number] = at_s + patience + 1 / 256
    return answers, began


def test_a_source_counts_a_shared_fetch_once():
    source, script = Source("s"), Script([(1, "value")])
    call = guard(script, cache=Cache(10, key="x"), source=source)

    async def main():
        await asyncio.gather(*(call(1) for _ in range(9)))
        assert source.state().calls == 1

    run(main)
