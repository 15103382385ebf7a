"""A second copy: when it is sent, who wins, what becomes of the other, and how much of it there may be."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TypedDict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_graph import BadGraph, Graph, Status, fetch
from feature_graph.errors import BreakerOpen
from feature_graph.guards import Retry, Source
from tests.feature_graph.guards.scripted import Script, guard, now, settle
from tests.feature_graph.virtual_time import run


class Given(TypedDict, total=False):
    x: int


A, B = ValueError("first"), ValueError("second")


def hedged(script, source=None, hedge=2.0, deadline=None, **options):
    """The outcome of a hedged node, and the instant at which the answer came."""

    async def node(x):
        return await script(x)

    graph = Graph(Given, node=fetch(hedge=hedge, idempotent=True, source=source, **options)(node))

    async def main():
        found = await graph.resolve("node", given={"x": 1}, deadline=deadline)
        return found.outcomes["node"], now() - 1000, found

    return run(main)


@pytest.mark.parametrize(
    ("entries", "value", "at_s", "hedge", "ended"),
    [
        ([(1, "first")], "first", 1, None, ["ended"]),
        ([(9, "first"), (1, "second")], "second", 3, "won", ["cancelled", "ended"]),
        ([(3, "first"), (5, "second")], "first", 3, "lost", ["ended", "cancelled"]),
        ([(1, A), (3, "second")], "second", 4, "won", ["ended", "ended"]),
        ([(3, A), (5, "second")], "second", 7, "won", ["ended", "ended"]),
        ([(5, "first"), (1, B)], "first", 5, "lost", ["ended", "ended"]),
    ],
    ids=["not sent", "won", "lost", "first fails fast", "first fails later", "second fails"],
)
def test_the_first_good_answer_wins_and_the_loser_is_cancelled(entries, value, at_s, hedge, ended):
    """(47) Promise 9; a failure of the first sends the second at once."""
    script = Script(entries)
    outcome, took_s, _ = hedged(script)
    assert (outcome.status, outcome.value, took_s) == (Status.OK, value, pytest.approx(at_s))
    assert (outcome.notes.get("hedge"), script.ended) == (hedge, ended)


@pytest.mark.parametrize("entries", [[(1, A), (1, B)], [(5, A), (1, B)], [(3, A), (5, B)]])
def test_when_both_fail_the_firsts_error_is_told_and_the_other_with_it(entries):
    """(47) Both fail, in either order."""
    A.__context__ = None
    outcome, _, _ = hedged(Script(entries))
    assert (outcome.status, outcome.error, outcome.notes["hedge"]) == (Status.FAILED, A, "failed")
    assert outcome.error.__context__ is B


def test_two_good_answers_in_one_turn_are_always_the_firsts():
    """(29) Deterministic."""
    outcome, _, _ = hedged(Script([(3, "first"), (1, "second")]))
    assert outcome.value == "first"


def test_a_loser_that_takes_its_time_holds_up_nobody_but_the_end_of_the_run():
    """(41) Its slow clean-up is not broken into, and nothing of it is alive when the run answers."""
    script = Script([(9, "first"), (1, "second")], cleaning_s=0.003)

    async def node(x):
        return await script(x)

    def after(node):
        return now()

    graph = Graph(Given, after, node=fetch(hedge=2, idempotent=True)(node))

    async def main():
        found = await graph.resolve("after", given={"x": 1})
        assert script.ended == ["cancelled", "ended"]
        assert found["after"] == pytest.approx(1003)
        assert now() == pytest.approx(1003.003)
        assert found.abandoned == ()

    run(main)


def test_a_loser_that_refuses_to_end_is_abandoned_by_name(caplog):
    """(41) The winner's answer comes all the same."""
    free = []

    async def node(x):
        free.append(asyncio.get_running_loop().create_future())
        if len(free) == 2:
            return "second"
        try:
            await asyncio.sleep(99)
        except asyncio.CancelledError:
            await free[0]

    graph = Graph(Given, fetch(hedge=2, idempotent=True)(node))

    async def main():
        found = await graph.resolve("node", given={"x": 1})
        assert (found["node"], found.abandoned) == ("second", ("node",))
        free[0].set_result(None)
        await asyncio.sleep(0.1)

    run(main)
    assert "still running: node" in caplog.text


def test_copies_are_a_share_of_the_calls():
    """Promise 9: max_extra_load; one is free to begin with, and a few are saved up for a bad moment."""
    source = Source("s", max_extra_load=0.1)
    slow = Script([(5, "value")])
    call = guard(slow, hedge=1.0, idempotent=True, source=source)

    async def main():
        for _ in range(200):
            await call()
        state = source.state()
        assert state.calls - state.hedges == 200
        assert 19 <= state.hedges <= 21
        assert state.hedges_won == 0

    run(main)


def test_no_share_of_extra_load_is_no_copy():
    """Also none after a failure, for that would be a retry by another name."""
    script = Script([(5, A)])
    outcome, _, _ = hedged(script, source=Source("s", max_extra_load=0))
    assert (outcome.error, script.calls) == (A, 1)


def test_a_copy_that_the_budget_forbids_is_noted():
    """Two at once, and one token: the later one stays alone."""
    source = Source("s")
    script = Script([(5, "value")])

    async def node(x):
        return await script(x)

    marked = fetch(hedge=1, idempotent=True, source=source)(node)
    graph = Graph(Given, a=marked, b=marked)

    async def main():
        found = await graph.resolve(["a", "b"], given={"x": 1})
        return sorted(found.outcomes[name].notes.get("hedge") for name in "ab")

    assert run(main) == ["lost", "no budget"]


def test_a_percentile_is_off_until_enough_was_seen_and_then_follows_the_source():
    """hedge="p95": the delay is what 95 in 100 of the last calls did not exceed."""
    source = Source("s", max_extra_load=1)
    script = Script([(seconds, "value") for seconds in range(1, 21)] + [(99, "slow"), (1, "quick")])
    call = guard(script, hedge="p95", idempotent=True, source=source)

    async def main():
        for _ in range(20):
            await call()
        assert source.state().hedges == 0
        began_s = now()
        assert await call() == "quick"
        assert now() - began_s == pytest.approx(19 + 1)

    run(main)


def test_slow_calls_that_were_cut_off_keep_the_percentile_up():
    """Without them every hedge that won would make the next one come sooner."""
    source = Source("s", max_extra_load=1)
    quick, stuck = Script([(1, "value")]), Script([(99, "slow"), (1, "quick")])

    async def main():
        for _ in range(20):
            await guard(quick, source=source)()
        for _ in range(20):
            stuck.began.clear()
            await guard(stuck, hedge=10.0, idempotent=True, source=source)()
        assert source.state().p95_s == pytest.approx(11)

    run(main)


def test_no_copy_when_there_is_no_place_or_no_time_for_it():
    """A copy in the bulkhead's line would hold up calls that nobody has made yet."""
    full = Source("s", max_in_flight=1)
    outcome, took_s, _ = hedged(Script([(5, "value")]), source=full)
    assert (outcome.value, took_s, full.state().hedges) == ("value", pytest.approx(5), 0)
    late = Source("s")

    async def main():
        for _ in range(9):
            await guard(Script([(3, "value")]), source=late)()

    run(main)
    outcome, _, _ = hedged(Script([(9, "value")]), source=late, deadline=4)
    assert (outcome.status, outcome.notes["hedge"]) == (Status.TIMED_OUT, "no time")


def test_our_own_limits_are_no_reason_for_a_copy():
    """An open breaker refuses the copy too."""
    script = Script([(0, BreakerOpen("ours"))])
    outcome, _, _ = hedged(script)
    assert (type(outcome.error), script.calls) == (BreakerOpen, 1)


def test_a_fetch_that_cancels_itself_is_cancelled_hedged_or_not():
    """(42)"""

    async def node(x):
        asyncio.current_task().cancel()
        await asyncio.sleep(1)

    graph = Graph(Given, fetch(hedge=2, idempotent=True)(node))
    assert run(lambda: graph.resolve("node", given={"x": 1})).outcomes["node"].status is Status.CANCELLED


async def asked(x):
    return x


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"hedge": 1}, "'asked' at .*test_hedge.py:.* may be called twice; say idempotent=True"),
        ({"hedge": 1, "idempotent": True, "retry": Retry()}, "both retry and hedge"),
        ({"hedge": "p950", "idempotent": True}, 'legal: seconds above 0, a timedelta, or .*"p1" to "p99"'),
        ({"hedge": "95%", "idempotent": True}, "hedge='95%'; legal"),
        ({"hedge": 0, "idempotent": True}, "hedge=0; legal"),
        ({"hedge": True, "idempotent": True}, "hedge=True; legal"),
        (
            {"hedge": timedelta(seconds=3), "idempotent": True, "timeout": 2},
            "hedges after 3 s, .* of 2 s comes",
        ),
    ],
)
def test_a_hedge_that_makes_no_sense_is_refused_when_the_graph_is_built(options, says):
    """(48) Not idempotent, together with a retry, or a delay that is none."""
    with pytest.raises(BadGraph, match=says):
        Graph(Given, asked=fetch(**options)(lambda_of(asked)))


def lambda_of(function):
    """A copy to mark, so that marks do not meet."""

    async def asked(x):
        return await function(x)

    return asked


ENTRY = st.tuples(st.integers(0, 6), st.sampled_from(["value", A]))


def model(first, second, delay_s, deadline_s):
    """Sent at, ended at, whose answer: in sequence."""
    first_s, first_good = first[0], first[1] == "value"
    if first_s <= delay_s and first_good:
        return (None, first_s, "first") if first_s < deadline_s else (None, deadline_s, "late")
    sent_s = min(first_s, delay_s)
    second_s, second_good = sent_s + second[0], second[1] == "value"
    good = [
        (at_s, who)
        for at_s, ok, who in ((first_s, first_good, "first"), (second_s, second_good, "second"))
        if ok
    ]
    ended_s, who = min(good) if good else (max(first_s, second_s), "error")
    if sent_s >= deadline_s:
        return None, deadline_s, "late"
    return (sent_s, ended_s, who) if ended_s < deadline_s else (sent_s, deadline_s, "late")


@settings(max_examples=400, deadline=None)
@given(ENTRY, ENTRY, st.integers(0, 5).map(lambda n: n + 0.5), st.sampled_from([2.25, 4.25, 99.25]))
def test_random_races_end_as_the_sequential_model_says(first, second, delay_s, deadline_s):
    """(47) Who wins and when, for all orders of two durations, two outcomes, a delay and a deadline."""
    script = Script([(first[0], "first" if first[1] == "value" else first[1]), (second[0], second[1])])
    A.__context__ = None
    outcome, took_s, _ = hedged(script, hedge=delay_s, deadline=deadline_s)
    sent_s, ended_s, who = model(first, second, delay_s, deadline_s)
    assert took_s == pytest.approx(ended_s)
    assert [began_s - 1000 for began_s in script.began[1:]] == (
        [] if sent_s is None else [pytest.approx(sent_s)]
    )
    values = {"first": (Status.OK, "first"), "second": (Status.OK, "value"), "error": (Status.FAILED, None)}
    assert (outcome.status, outcome.value) == values.get(who, (Status.TIMED_OUT, None))
    assert "under way" not in script.ended


def test_outside_a_run_it_is_an_ordinary_async_function():
    """Nobody to adopt the loser: it ends by itself, a turn later, and no error of it is left unretrieved."""
    script = Script([(9, "first"), (1, "second")])
    call = guard(script, hedge=2.0, idempotent=True)

    async def main():
        assert await settle(call()) == ("value", "second")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert script.ended == ["cancelled", "ended"]

    run(main)


def test_copies_that_the_run_gives_up_on_are_cancelled_once():
    """(41) The run and the hedge both stop them; a second cancellation would break into their clean-up."""
    script = Script([(9, "first"), (9, "second")], cleaning_s=0.003)
    outcome, took_s, found = hedged(script, deadline=4)
    assert (outcome.status, script.ended) == (Status.TIMED_OUT, ["cancelled", "cancelled"])
    assert (took_s, found.abandoned) == (pytest.approx(4.003), ())


def test_a_loser_that_fails_while_it_ends_is_heard_and_ignored():
    """(37) Nothing is left unretrieved."""
    calls = []

    async def node(x):
        calls.append(x)
        if len(calls) == 2:
            return "second"
        try:
            await asyncio.sleep(9)
        finally:
            raise A

    graph = Graph(Given, fetch(hedge=2, idempotent=True)(node))

    async def main():
        assert (await graph.resolve("node", given={"x": 1}))["node"] == "second"
        await asyncio.sleep(0)

    run(main)
