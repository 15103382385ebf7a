"""At most so many calls under way, the line in order, and a place that is never lost."""

from __future__ import annotations

import asyncio
import threading
from typing import TypedDict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_graph import BadGraph, Graph, Status, fetch
from feature_graph.errors import Overloaded
from feature_graph.guards import Retry, Source
from tests.feature_graph.guards.scripted import Script, Transient, guard, now, settle
from tests.feature_graph.virtual_time import run


class Given(TypedDict, total=False):
    x: int


def test_no_more_than_max_in_flight_are_under_way_and_the_line_is_first_come_first_served():
    """Promise 11."""
    source, script = Source("s", max_in_flight=2), Script([(1, "value")])
    call, order = guard(script, source=source), []

    async def one(number):
        await call()
        order.append(number)

    async def main():
        await asyncio.gather(*map(one, range(6)))
        assert (script.most_under_way, order, now()) == (2, list(range(6)), pytest.approx(1003))
        assert (source.state().in_flight, source.state().waiting) == (0, 0)

    run(main)


def test_beyond_max_waiting_a_call_fails_at_once():
    """Promise 11: failed(Overloaded), before any time has passed."""
    source = Source("bureau", max_in_flight=1, max_waiting=1)
    script = Script([(1, "value")])

    async def node(x):
        return await script(x)

    marked = fetch(source=source)(node)
    graph = Graph(Given, a=marked, b=marked, c=marked)

    async def main():
        found = await graph.resolve(["a", "b", "c"], given={"x": 1})
        assert [found.outcomes[name].status for name in "abc"] == [Status.OK, Status.OK, Status.FAILED]
        error = found.outcomes["c"].error
        assert isinstance(error, Overloaded)
        assert str(error) == "source 'bureau' has 1 calls under way and 1 waiting, as many as it may"
        assert found.outcomes["b"].notes["waited_s"] == pytest.approx(1)
        assert source.state().refused == 1

    run(main)


def test_waiting_counts_against_the_timeout_and_leaves_the_line_clean():
    """Promise 11: the one behind the impatient one moves up."""
    source, script = Source("s", max_in_flight=1), Script([(2, "value")])

    async def node(x):
        return await script(x)

    graph = Graph(
        Given,
        first=fetch(source=source)(node),
        impatient=fetch(source=source, timeout=1)(lambda_of(node)),
        patient=fetch(source=source)(lambda_of(node)),
    )

    async def main():
        found = await graph.resolve(["first", "impatient", "patient"], given={"x": 1})
        assert found.outcomes["impatient"].status is Status.TIMED_OUT
        assert (script.calls, now()) == (2, pytest.approx(1004))

    run(main)


def lambda_of(function):
    async def node(x):
        return await function(x)

    return node


def test_one_who_is_cancelled_in_the_moment_he_gets_his_place_hands_it_on():
    """The place was granted and its waiter has not woken up."""
    source, script = Source("s", max_in_flight=1), Script([(1, "value")])
    call = guard(script, source=source)

    async def main():
        assert source.enter()
        first, second = (asyncio.create_task(call()) for _ in range(2))
        await asyncio.sleep(0)
        source.leave()
        first.cancel()
        assert await second == "value"
        assert first.cancelled()
        assert (script.calls, source.state().in_flight) == (1, 0)

    run(main)


def test_nobody_who_comes_later_pushes_in():
    """In the turn in which a place is handed over, a newcomer finds it taken."""
    source, order = Source("s", max_in_flight=1), []
    call = guard(Script([(1, "value")]), source=source)

    async def one(name):
        await call()
        order.append(name)

    async def main():
        first, waiting = asyncio.create_task(one("first")), asyncio.create_task(one("waiting"))
        newcomers = []
        first.add_done_callback(lambda _: newcomers.append(asyncio.create_task(one("newcomer"))))
        await waiting
        await newcomers[0]
        assert order == ["first", "waiting", "newcomer"]

    run(main)


def test_each_attempt_counts_for_itself_and_a_pause_holds_no_place():
    """Others get in while a retry waits for its turn."""
    source = Source("s", max_in_flight=1, random=lambda: 1.0)
    flaky, other = Script([(1, Transient()), (1, "value")]), Script([(1, "value")])

    async def main():
        retry = guard(flaky, source=source, retry=Retry(on=Transient, backoff=1, max_backoff=1))
        await asyncio.gather(retry(), guard(other, source=source)())
        assert (other.began, flaky.began) == (
            [pytest.approx(1001)],
            [pytest.approx(1000), pytest.approx(1002)],
        )

    run(main)


@settings(max_examples=200, deadline=None)
@given(
    st.integers(1, 3),
    st.lists(st.tuples(st.integers(0, 5), st.integers(1, 4), st.integers(1, 9)), min_size=1, max_size=12),
)
def test_random_arrivals_and_cancellations_equal_a_queue_in_sequence(places, calls):
    """Arrival, duration, patience: who is served when, for a server of so many places with a line."""
    source = Source("s", max_in_flight=places)
    began = {}

    async def serve(number, seconds):
        began[number] = now() - 1000
        await asyncio.sleep(seconds)

    call = guard(serve, source=source)

    async def consumer(number, arrives, seconds, patience):
        await asyncio.sleep(arrives + number / 64)
        task = asyncio.ensure_future(call(number, seconds))
        await asyncio.wait([task], timeout=patience + 1 / 256)
        task.cancel()
        await asyncio.wait([task])

    async def main():
        await asyncio.gather(*(consumer(number, *each) for number, each in enumerate(calls)))
        assert (source.state().in_flight, source.state().waiting) == (0, 0)

    run(main)
    assert began == pytest.approx(served(places, calls))


def served(places, calls):
    """When each call begins; those who give up before are missing."""
    free, began = [0.0] * places, {}
    for arrives_s, number in sorted((call[0] + number / 64, number) for number, call in enumerate(calls)):
        _, seconds, patience = calls[number]
        gives_up_s = arrives_s + patience + 1 / 256
        free.sort()
        starts_s = max(arrives_s, free[0])
        if starts_s < gives_up_s:
            began[number] = starts_s
            free[0] = min(starts_s + seconds, gives_up_s)
    return began


def test_one_source_limits_two_loops_in_two_threads():
    """(56) Places go from loop to loop, and none is lost."""
    source = Source("s", max_in_flight=3)
    lock, under_way, most, done = threading.Lock(), 0, 0, []

    async def serve():
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        await asyncio.sleep(0)
        await asyncio.sleep(0.0001)
        with lock:
            under_way -= 1

    call = guard(serve, source=source)

    async def many():
        results = await asyncio.gather(*(settle(call()) for _ in range(300)))
        done.append([kind for kind, _ in results])

    threads = [threading.Thread(target=lambda: asyncio.run(many())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert done == [["value"] * 300] * 2
    assert most <= 3
    state = source.state()
    assert (state.calls, state.in_flight, state.waiting) == (600, 0, 0)


def test_a_place_offered_to_a_loop_that_is_gone_goes_to_the_next():
    """(56) A loop was closed with a call of it still in the line."""
    source = Source("s", max_in_flight=1)
    call = guard(Script([(1, "value")]), source=source)
    assert source.enter()
    gone = asyncio.new_event_loop()
    lost = gone.create_task(call())
    gone.call_soon(gone.stop)
    gone.run_forever()
    gone.close()

    async def main():
        task = asyncio.create_task(call())
        await asyncio.sleep(0)
        assert source.state().waiting == 2
        source.leave()
        return await task

    assert run(main) == "value"
    assert source.state().in_flight == 0
    lost._log_destroy_pending = False


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"name": ""}, "its name is ''; legal: some text"),
        ({"max_in_flight": 0}, "max_in_flight is 0; legal: a whole number from 1, or None"),
        ({"max_in_flight": 1.5}, "max_in_flight is 1.5"),
        ({"max_in_flight": True}, "max_in_flight is True"),
        ({"max_in_flight": 1, "max_waiting": -1}, "max_waiting is -1; legal: a whole number from 0"),
        ({"max_waiting": 1}, "max_waiting needs max_in_flight"),
        ({"max_extra_load": 2}, "max_extra_load is 2; legal: a share of 0 to 1"),
        ({"max_extra_load": float("nan")}, "max_extra_load is nan"),
    ],
)
def test_limits_that_make_no_sense_are_refused(settings, says):
    with pytest.raises(BadGraph, match=says):
        Source(**{"name": "s", **settings})
