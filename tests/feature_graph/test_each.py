"""One call an element. (52) of the list of edge cases."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

import pytest

from feature_graph import (
    BadGraph,
    ElementFailed,
    FetchTimedOut,
    Graph,
    Outcome,
    StandIn,
    Status,
    batch,
    each,
    fetch,
    lookup,
    note,
    remaining,
    stand_by,
    wire,
)
from tests.feature_graph.virtual_time import never, run


class Given(TypedDict, total=False):
    arms: Any
    rate: Any


@pytest.fixture(params=["resolve", "resolve_in_order"])
def resolve(request):
    def go(graph, goals, given, **options):
        return run(lambda: getattr(graph, request.param)(goals, given={"rate": 2, **given}, **options))

    return go


def concurrently(graph, goals, given, **options):
    return run(lambda: graph.resolve(goals, given={"rate": 2, **given}, **options))


def priced(**options):
    @fetch(**options)
    async def price(arm, rate):
        await asyncio.sleep(1 / arm)
        if arm == 13:
            raise KeyError(arm)
        return arm * rate

    return price


price = priced()


def doubled(arm, rate):
    if arm == 13:
        raise KeyError(arm)
    return arm * rate


@batch()
async def prices(arms: Sequence[int], rate: int) -> Mapping[int, int]:
    await asyncio.sleep(1)
    return {arm: arm * rate for arm in arms if arm != 13}


BODIES = {"fetch": price, "derived": doubled, "lookup": lookup(prices, key="arm")}


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("count", [0, 1, 2, 1000])
def test_a_list_in_the_order_of_the_elements(resolve, body, count):
    """(52) However the elements end: the later ones are the quicker here."""
    graph = Graph(Given, prices=each(BODIES[body], over="arms"))
    found = resolve(graph, "prices", {"arms": range(1000, 1000 + count)})
    assert found["prices"] == [2 * arm for arm in range(1000, 1000 + count)]
    assert found.statuses == {"prices": "ok"}


@pytest.mark.parametrize("body", BODIES)
def test_one_element_that_fails_fails_the_list_and_is_named(resolve, body):
    """(52)"""
    graph = Graph(Given, prices=each(BODIES[body], over="arms"))
    outcome = resolve(graph, "prices", {"arms": [1, 13, 3]}).outcomes["prices"]
    assert (outcome.status, outcome.root) == (Status.FAILED, "prices")
    assert isinstance(outcome.error, ElementFailed)
    assert outcome.error.position == 1
    assert isinstance(outcome.error.__cause__, KeyError)
    assert "element 1 of 'prices'" in str(outcome.error)


@pytest.mark.parametrize("fallback", [0, lambda error: 0])
def test_an_element_falls_back_alone_and_the_list_says_so(resolve, fallback):
    """(52) A learner must not take the list for an observation."""
    graph = Graph(Given, prices=each(priced(fallback=fallback), over="arms"))
    found = resolve(graph, "prices", {"arms": [1, 13, 3]})
    assert found["prices"] == [2, 0, 6]
    assert found.statuses == {"prices": "fallback"}
    assert found.degraded("prices") == ("prices",)
    assert isinstance(found.outcomes["prices"].error, KeyError)


def test_how_many_fell_back_is_noted():
    found = concurrently(
        Graph(Given, prices=each(priced(fallback=0), over="arms")), "prices", {"arms": [13, 1, 13]}
    )
    notes = found.outcomes["prices"].notes
    assert (notes["elements"], notes["fallbacks"]) == (3, 2)


def test_no_more_fetches_at_once_than_asked_for():
    running, most = 0, 0

    async def counted(arm):
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(1)
        running -= 1
        return arm

    graph = Graph(Given, all=each(counted, over="arms", max_in_flight=3))
    found = concurrently(graph, "all", {"arms": range(10)})
    assert (most, found.timeline[0].end_s) == (3, 4.0)


def test_all_keys_of_a_list_and_of_its_neighbours_share_one_call():
    calls = []

    @batch()
    async def stock(arms: Sequence[int]) -> Mapping[int, int]:
        calls.append(list(arms))
        return {arm: arm for arm in arms}

    graph = Graph(Given, all=each(lookup(stock, key="arm"), over="arms"), one=lookup(stock, key="rate"))
    concurrently(graph, ["all", "one"], {"arms": [5, 6, 5]})
    assert sorted(calls[0]) == [2, 5, 6]
    assert len(calls) == 1


def test_the_time_of_one_element_is_the_bodys_and_that_of_all_the_lists(resolve):
    @fetch(timeout=0.5, fallback=-1)
    async def slow(arm):
        await asyncio.sleep(arm)
        return arm

    graph = Graph(Given, all=each(slow, over="arms"))
    assert resolve(graph, "all", {"arms": [0.25, 1, 0.125]})["all"] == [0.25, -1, 0.125]

    @fetch(timeout=0.5)
    async def strict(arm):
        await asyncio.sleep(arm)

    error = resolve(Graph(Given, all=each(strict, over="arms")), "all", {"arms": [1]}).outcomes["all"].error
    assert isinstance(error, ElementFailed)
    assert isinstance(error.__cause__, FetchTimedOut)


def test_a_list_that_is_late_keeps_what_it_has():
    """What came before the timeout or the deadline is in the list, fallbacks for the rest."""

    @fetch(fallback=-1)
    async def slow(arm):
        await asyncio.sleep(arm)
        return arm

    for graph, options in [
        (Graph(Given, all=each(slow, over="arms", timeout=2)), {}),
        (Graph(Given, all=each(slow, over="arms")), {"deadline": 2}),
    ]:
        found = concurrently(graph, "all", {"arms": [1, 3, 1.5]}, **options)
        assert found["all"] == [1, -1, 1.5]
        assert found.outcomes["all"].status is Status.FALLBACK
        assert isinstance(found.outcomes["all"].error, FetchTimedOut)


def test_a_list_without_fallback_that_is_late_has_no_value():
    found = concurrently(Graph(Given, all=each(hanging, over="arms", timeout=2)), "all", {"arms": [1, 3]})
    assert found.outcomes["all"].status is Status.TIMED_OUT


async def hanging(arm):
    await never()


@pytest.mark.parametrize("timeout_s", [0.5, 2])
def test_keys_of_a_late_batch_fall_back(resolve, timeout_s):
    @batch(timeout=timeout_s, fallback=0)
    async def stock(arms: Sequence[int]) -> Mapping[int, int]:
        await asyncio.sleep(1)
        return {arm: arm for arm in arms}

    found = resolve(Graph(Given, all=each(lookup(stock, key="arm"), over="arms")), "all", {"arms": [1, 2]})
    assert found["all"] == ([0, 0] if timeout_s < 1 else [1, 2])


@pytest.mark.parametrize("elements", [None, 7, "text", b"bytes"])
@pytest.mark.parametrize("body", BODIES)
def test_what_is_no_sequence_is_told(resolve, body, elements):
    outcome = resolve(Graph(Given, all=each(BODIES[body], over="arms")), "all", {"arms": elements}).outcomes[
        "all"
    ]
    assert outcome.status is Status.FAILED
    assert "legal: a sequence" in str(outcome.error)
    assert type(elements).__name__ in str(outcome.error)


def test_a_failure_before_it_is_passed_on(resolve):
    def arms_of(rate):
        raise OSError("down")

    graph = Graph(Given, arms_of, all=each(price, over="arms_of"))
    outcome = resolve(graph, "all", {"arms": []}).outcomes["all"]
    assert (outcome.status, outcome.root) == (Status.UPSTREAM_FAILED, "arms_of")


def test_the_element_goes_where_it_is_declared(resolve):
    """By name, wherever it stands; by keyword where the function wants it so; the rest are edges."""

    def last(rate, arm):
        return (rate, arm)

    def keyword(rate, *, arm):
        return (rate, arm)

    def only(rate, /, arm=3, *, limit: Outcome[int]):
        return (rate, arm, limit.value)

    graph = Graph(
        Given,
        a=each(last, over="arms", element="arm"),
        b=each(keyword, over="arms", element="arm"),
        c=each(wire(only, limit="rate"), over="arms", element="arm"),
    )
    found = resolve(graph, ["a", "b", "c"], {"arms": [1]})
    assert found.values == {"a": [(2, 1)], "b": [(2, 1)], "c": [(2, 1, 2)]}


def test_elements_see_the_time_they_have_left_and_may_tell():
    @fetch(timeout=3)
    async def told(arm):
        note(last=arm)
        return remaining()

    graph = Graph(Given, all=each(told, over="arms"))
    found = concurrently(graph, "all", {"arms": [1, 2]}, deadline=10)
    assert found["all"] == [3.0, 3.0]
    assert found.outcomes["all"].notes["elements"] == 2


def test_the_first_failure_ends_the_other_elements():
    ended = []

    async def slow(arm):
        try:
            await asyncio.sleep(arm)
            raise KeyError(arm)
        except asyncio.CancelledError:
            ended.append(arm)
            raise

    found = concurrently(Graph(Given, all=each(slow, over="arms")), "all", {"arms": [5, 1, 9]})
    assert found.outcomes["all"].error.position == 1
    assert (sorted(ended), found.timeline[0].end_s) == ([5, 9], 1.0)


@pytest.mark.parametrize("turns", range(8))
def test_a_caller_who_is_cancelled_leaves_nothing_behind(turns):
    """(39) ``run`` fails on a task that is left alive."""
    graph = Graph(Given, a=each(price, over="arms"), b=each(lookup(prices, key="arm"), over="arms"))

    async def main():
        task = asyncio.ensure_future(graph.resolve(["a", "b"], given={"arms": [1, 2], "rate": 1}))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main)


def test_an_element_that_cancels_itself_has_failed(resolve):
    """(42)"""

    @fetch(fallback=0)
    async def cancels(arm):
        raise asyncio.CancelledError

    assert resolve(Graph(Given, all=each(cancels, over="arms")), "all", {"arms": [1]})["all"] == [0]


def test_a_batch_that_cancels_itself_has_failed_its_elements(resolve):
    """(42)"""

    @batch()
    async def stock(arms: Sequence[int]) -> Mapping[int, int]:
        raise asyncio.CancelledError

    graph = Graph(Given, all=each(lookup(stock, key="arm"), over="arms"))
    outcome = resolve(graph, "all", {"arms": [1]}).outcomes["all"]
    assert (outcome.status, type(outcome.error)) == (Status.FAILED, ElementFailed)


@pytest.mark.parametrize("options", [{"deadline": 0.5}, {}])
def test_a_value_that_stands_by_is_for_its_own_element(resolve, options):
    """A stale value of one is never the list, nor that of another."""
    silent = False

    @fetch(timeout=1, fallback="none")
    async def cached(arm):
        stand_by(StandIn(f"stale {arm}"))
        if silent:
            await asyncio.sleep(9)
        return f"fresh {arm}"

    graph = Graph(Given, all=each(cached, over="arms"))
    assert resolve(graph, "all", {"arms": ["a", "b"]})["all"] == ["fresh a", "fresh b"]
    silent = True
    found = resolve(graph, "all", {"arms": ["a", "b"]}, **options)
    assert found.statuses == {"all": "fallback"}
    assert found["all"][0] == "stale a"
    assert found["all"][1] in ("stale b", "none")  # in sequence, the deadline has passed by then


def test_several_elements_that_fail_at_once_are_one_failure():
    """(35, 37) The first in order is told, and no other exception is left unread."""

    async def fails(arm):
        await asyncio.sleep(1)
        raise KeyError(arm)

    found = concurrently(Graph(Given, all=each(fails, over="arms")), "all", {"arms": [1, 2, 3]})
    assert found.outcomes["all"].error.position == 0


def test_what_cannot_be_gone_over_is_refused_when_the_graph_is_built():
    def no_parameters():
        return 1

    for declared, words in [
        (each(no_parameters, over="arms"), "none, it has no parameters"),
        (each(price, over="arms", element="arn"), "legal: arm, rate"),
        (each(price, over="nowhere"), "'nowhere'"),
        (each(each(price, over="arms"), over="arms"), "over a function or a lookup"),  # type: ignore[arg-type]
        (each(lookup(prices, key="arm"), over="arms", element="other"), "legal: arm"),
    ]:
        with pytest.raises(BadGraph) as refused:
            Graph(Given, all=declared)
        assert words in str(refused.value)
    with pytest.raises(BadGraph, match="max_in_flight is 0"):
        each(price, over="arms", max_in_flight=0)
    with pytest.raises(BadGraph, match="timeout"):
        each(price, over="arms", timeout=-1)
    with pytest.raises(BadGraph, match="has no name"):
        Graph(Given, each(price, over="arms"))


def test_wire_gives_a_function_other_nodes(resolve):
    def distance(a, b):
        return abs(a - b)

    graph = Graph(
        Given, distance, home=wire(distance, a="arms", b="rate"), a=lambda rate: 7, b=lambda rate: 9
    )
    assert resolve(graph, ["home", "distance"], {"arms": 10}).values == {"home": 8, "distance": 2}
    with pytest.raises(BadGraph, match=r"names 'c', which is no parameter .* legal: a, b"):
        Graph(Given, home=wire(distance, c="rate"))
    with pytest.raises(BadGraph, match="needs 'roof'"):
        Graph(Given, home=wire(distance, a="roof", b="rate"))
