"""A source that fails half of its calls is left alone, probed, and asked again."""

from __future__ import annotations

import asyncio
from typing import TypedDict

import pytest

from feature_graph import BadGraph, Graph, Status, fetch
from feature_graph.deadline import hurry
from feature_graph.errors import BreakerOpen
from feature_graph.guards import Breaker, BreakerState, Cache, Source
from tests.feature_graph.guards.scripted import Fatal, Script, guard, now, settle
from tests.feature_graph.virtual_time import run

CLOSED, OPEN, PROBING = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.PROBING


class Given(TypedDict, total=False):
    x: int


def source_with(**settings):
    return Source("bureau", breaker=Breaker(**settings))


async def times(count, call):
    return [(await settle(call()))[0] for _ in range(count)]


def test_half_of_twenty_calls_in_ten_seconds_open_it():
    """Promise 11, Hystrix's defaults: 19 failures say nothing, the twentieth call is enough."""
    source, script = source_with(), Script([(0, Fatal())])
    call = guard(script, source=source)

    async def main():
        await times(19, call)
        assert source.state().breaker is CLOSED
        await times(1, call)
        assert source.state().breaker is OPEN
        _, error = await settle(call())
        assert isinstance(error, BreakerOpen)
        assert str(error) == "source 'bureau' failed too often and is left alone for 5 s more"
        assert (script.calls, source.state().refused) == (20, 1)

    run(main)


def test_less_than_half_does_not_open_it_and_old_failures_are_forgotten():
    source = source_with()
    broken, fine = guard(Script([(0, Fatal())]), source=source), guard(Script([(0, 1)]), source=source)

    async def main():
        for _ in range(30):
            await times(1, broken)
            await times(2, fine)
        assert source.state().breaker is CLOSED
        await asyncio.sleep(11)
        await times(19, broken)
        assert source.state().breaker is CLOSED
        await asyncio.sleep(11)
        await times(19, broken)
        assert source.state().breaker is CLOSED

    run(main)


def test_one_probe_after_five_seconds_decides():
    """A failed probe opens it for as long again, a good one closes it; others do not get in meanwhile."""
    source, script = source_with(), Script([(0, Fatal())] * 20 + [(1, Fatal()), (1, "back")])
    call = guard(script, source=source)

    async def main():
        await times(20, call)
        for expected in (OPEN, CLOSED):
            await asyncio.sleep(5)
            probe = asyncio.create_task(settle(call()))
            await asyncio.sleep(0.5)
            assert source.state().breaker is PROBING
            assert "finding out" in str((await settle(call()))[1])
            await probe
            assert source.state().breaker is expected
        assert (await call(), script.calls) == ("back", 23)

    run(main)


def test_a_probe_that_is_stopped_leaves_the_next_call_to_probe():
    """Nobody wanted its answer any more: that says nothing about the source."""
    source, script = source_with(), Script([(0, Fatal())] * 20 + [(9, "late"), (0, "back")])
    call = guard(script, source=source)

    async def main():
        await times(20, call)
        await asyncio.sleep(5)
        probe = asyncio.create_task(call())
        await asyncio.sleep(1)
        probe.cancel()
        await asyncio.wait([probe])
        assert source.state().breaker is OPEN
        assert await call() == "back"
        assert source.state().breaker is CLOSED

    run(main)


def test_a_probe_that_never_comes_back_is_given_up():
    """Its loop may have gone with it."""
    source, script = source_with(), Script([(0, Fatal())] * 20 + [(99, "never"), (0, "back")])
    call = guard(script, source=source)

    async def main():
        await times(20, call)
        await asyncio.sleep(5)
        probe = asyncio.create_task(call())
        await asyncio.sleep(5)
        assert await call() == "back"
        probe.cancel()
        await asyncio.wait([probe])

    run(main)


def test_a_source_that_hangs_opens_it_by_the_timeouts_of_those_who_ask():
    """The run cancels what is late; that it was late is seen by the time that was left."""
    source, script = source_with(), Script([(99, "never")])

    async def node(x):
        return await script(x)

    graph = Graph(Given, fetch(source=source, timeout=0.1, fallback="none")(node))

    async def main():
        for _ in range(20):
            assert (await graph.resolve("node", given={"x": 1}))["node"] == "none"
        assert source.state().breaker is OPEN
        began_s = now()
        outcome = (await graph.resolve("node", given={"x": 1})).outcomes["node"]
        assert (outcome.status, type(outcome.error), now()) == (Status.FALLBACK, BreakerOpen, began_s)
        assert outcome.notes["breaker"] == "open"

    run(main)


def test_shared_calls_count_as_late_only_if_their_last_consumer_ran_out_of_time():
    """Through a cache too, what nobody wants any more says nothing, and what hangs does."""
    for leaves, state in (("its time is up", OPEN), ("no longer wanted", CLOSED)):
        source = source_with()

        async def node(x):
            await asyncio.sleep(99)

        graph = Graph(Given, fetch(source=source, timeout=0.1, cache=Cache(1, key="x"))(node))

        async def main(graph=graph, leaves=leaves):
            for _ in range(20):
                run = asyncio.create_task(graph.resolve("node", given={"x": 1}))
                await asyncio.sleep(0.2 if leaves == "its time is up" else 0.05)
                run.cancel()
                await asyncio.wait([run])

        run(main)
        assert source.state().breaker is state


def test_calls_that_were_begun_too_late_to_end_do_not_count_against_it():
    """A deadline a millisecond away is not the source's fault, once it is known how long it takes."""
    source, script = source_with(), Script([(1, "value")])

    async def node(x):
        return await script(x)

    graph = Graph(Given, fetch(source=source)(node))

    async def main():
        await times(20, guard(Script([(1, "value")]), source=source))
        for _ in range(40):
            await graph.resolve("node", given={"x": 1}, deadline=0.01)
        assert source.state().breaker is CLOSED

    run(main)


def test_errors_that_show_that_the_source_answers_do_not_count():
    """Breaker(on=): a customer that it does not know is no outage."""
    source = source_with(on=(OSError,))

    async def main():
        await times(40, guard(Script([(0, KeyError("no such customer"))]), source=source))
        assert source.state().breaker is CLOSED
        await times(40, guard(Script([(0, ConnectionError())]), source=source))
        assert source.state().breaker is OPEN

    run(main)


def test_it_is_off_by_default_and_its_state_is_noted_when_on():
    """Promise 11: state visible in the outcome."""
    off, on = Source("off"), source_with()
    assert off.state().breaker is None

    async def node(x):
        return x

    graph = Graph(Given, fetch(source=on)(node))
    assert run(lambda: graph.resolve("node", given={"x": 1})).outcomes["node"].notes["breaker"] == "closed"

    async def main():
        kinds = await times(40, guard(Script([(0, Fatal())]), source=off))
        assert kinds == ["error"] * 40
        assert off.state().refused == 0

    run(main)


def test_who_would_stand_in_line_for_an_open_source_is_refused_at_once():
    """And who stands in the line already when it opens is refused when it is his turn."""
    source = Source("s", max_in_flight=1, breaker=Breaker(at_least=1))
    call = guard(Script([(1, Fatal())]), source=source)

    async def main():
        first, second = asyncio.create_task(settle(call())), asyncio.create_task(settle(call()))
        await first
        assert isinstance((await second)[1], BreakerOpen)
        assert source.enter()
        began_s = now()
        assert isinstance((await settle(call()))[1], BreakerOpen)
        assert now() == began_s
        source.leave()
        assert source.state().in_flight == 0

    run(main)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"share": 0}, "share is 0; legal: above 0 and up to 1"),
        ({"at_least": 0}, "at_least is 0; legal: a whole number from 1"),
        ({"window_s": 0}, "window_s is 0; legal: seconds above 0"),
        ({"open_s": "5s"}, "open_s is '5s'; legal: seconds above 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, says):
    with pytest.raises(BadGraph, match=says):
        Breaker(**settings)


def test_failures_from_before_the_probe_are_forgotten_with_it():
    """One failure after it closed is one failure."""
    source = source_with()
    call = guard(Script([(0, Fatal())] * 20 + [(0, "back"), (0, Fatal())]), source=source)

    async def main():
        await times(20, call)
        await asyncio.sleep(5)
        assert await times(2, call) == ["value", "error"]
        assert source.state().breaker is CLOSED

    run(main)


def test_a_timer_that_rings_a_little_early_is_still_a_timeout():
    """(27) Some loops do; a call cut off with half a millisecond left was late."""
    source = source_with(at_least=1)

    async def main():
        hurry(now, now() + 1.0)
        task = asyncio.create_task(guard(Script([(9, "late")]), source=source)())
        await asyncio.sleep(0.9995)
        task.cancel()
        await asyncio.wait([task])
        assert source.state().breaker is OPEN

    run(main)
