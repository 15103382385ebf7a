"""Runs side by side of which a part is the same: it is found out once, with all that nothing keeps apart."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from itertools import product

import pytest

from feature_graph import FetchTimedOut, Graph, Status, batch, each, fetch, lookup, note
from feature_graph.scope import StandIn
from tests.feature_graph.test_columns import WAYS, XS, Given, shop
from tests.feature_graph.virtual_time import never, run


async def _echo(keys: Sequence[int]) -> dict[int, int]:
    return {key: key for key in keys}


def window(ways: dict[str, str], fallback: bool, asked: list[str]) -> Graph:
    """Three fetches that nothing keeps apart, two of them the same for everybody; then one that needs all."""

    async def do(name: str) -> None:
        way = ways.get(name, "ok")
        asked.append(name)
        if way != "at once":
            await asyncio.sleep(5.0 if way == "late" else 0.01)
        if way == "raises":
            raise ConnectionError(name)
        if way == "cancels itself":
            raise asyncio.CancelledError
        note(way=way)

    more = {"fallback": -1} if fallback else {}

    @fetch(timeout=1.0, **more)
    async def offers(items: list[int]) -> int:
        await do("offers")
        if ways.get("offers") == "stands in":
            return StandIn(7, KeyError("offers"))  # type: ignore[return-value]  # what any fetch may give
        return sum(items)

    @batch(timeout=1.0, max=3, **more)
    async def merchants(keys: Sequence[int]) -> Mapping[int, int]:
        await do("merchants")
        return {key: -key for key in keys if key != 2 or ways.get("merchants") != "forgets"}

    @batch(timeout=1.0, **more)
    async def logins(keys: Sequence[int]) -> Mapping[int, int]:
        await do("logins")
        return {key: key for key in keys}

    @batch(timeout=1.0, **more)
    async def campaigns(keys: Sequence[int]) -> Mapping[int, int]:
        await do("campaigns")
        return {key: 2 * key for key in keys}

    def brands(items: list[int]) -> list[int]:
        asked.append("brands")
        return [item % 3 for item in items]

    def closed(brands: list[int], sellers: list[int]) -> int:
        return len(brands) + sum(sellers)

    def all_of(offers: int, login: int, closed: int) -> int:
        return offers + login + closed

    return Graph(
        Given,
        offers,
        brands,
        closed,
        all_of,
        sellers=each(lookup(merchants, key="brand"), over="brands"),
        login=lookup(logins, key="x"),
        campaign=lookup(campaigns, key="all_of"),
    )


SHARED = ("offers", "merchants", "logins", "campaigns")


ITEMS = [1, 2, 5, 1]


@pytest.mark.parametrize(
    "ways",
    [{}, *[{name: way} for name, way in product(SHARED, WAYS[1:7])], {"offers": "late", "logins": "raises"}],
    ids=str,
)
@pytest.mark.parametrize("fallback", [False, True])
def test_what_is_the_same_for_all_says_what_it_says_alone(ways: dict[str, str], fallback: bool):
    """With time, with little, with none, and each with its own."""
    goals = ("campaign", "closed", "offers")
    graph = window(ways, fallback, [])
    common, givens = {"items": ITEMS}, [{"x": x} for x in XS]
    assert graph.plan(goals, ("x", "items"), common).columns is not None
    assert graph.plan(goals, ("x", "items")).columns is None
    for deadlines in ([None] * 5, [1.5] * 5, [0.015] * 5, [0.0] * 5, [None, 1.5, 0.015, 0.0, 0.5]):
        together = run(lambda d=deadlines: graph.resolve_all(goals, given=givens, deadlines=d, common=common))
        for found, inputs, deadline in zip(together, givens, deadlines, strict=True):
            alone = run(lambda g=inputs, d=deadline: graph.resolve(goals, given={**g, **common}, deadline=d))
            assert (found.statuses, found.values) == (alone.statuses, alone.values), deadline
            assert {goal: found.degraded(goal) for goal in goals} == {
                goal: alone.degraded(goal) for goal in goals
            }


def test_what_is_the_same_for_all_is_found_out_once():
    """One call each, asked for together, whoever many there are."""
    asked: list[str] = []
    graph = window({}, False, asked)
    givens = [{"x": x} for x in XS]
    found = run(
        lambda: graph.resolve_all(
            ("campaign", "closed"), given=givens, deadlines=[None] * 5, common={"items": ITEMS}
        )
    )
    assert sorted(asked) == ["brands", "campaigns", "logins", "merchants", "offers"]
    assert [one["closed"] for one in found] == [4 - 1 - 2 - 2 - 1] * 5
    began_s = {span.name: round(span.start_s, 6) for span in found[3].timeline}
    assert {name for name, at_s in began_s.items() if at_s == 0.0} == {"brands", "offers", "sellers", "login"}
    assert {name for name, at_s in began_s.items() if at_s == 0.01} == {"closed", "all_of", "campaign"}
    assert found[0].outcomes["sellers"].notes == {"elements": 4}
    assert found[0].outcomes["offers"].notes == {"way": "ok"}


def test_where_all_went_well_values_are_told_a_list_a_node():
    """Of nodes that ran, in every run; else each run is to be asked."""
    graph = window({}, False, [])
    givens = [{"x": x} for x in XS]
    found = run(
        lambda: graph.resolve_all(("campaign",), given=givens, deadlines=[None] * 5, common={"items": ITEMS})
    )
    assert found.plainly(("login", "offers")) == [[2, 3, 4, 2, 6], [9] * 5]
    assert found.plainly(("x",)) is None
    assert found.plainly(("nobody",)) is None
    branchy = run(
        lambda: shop({}, False, []).resolve_all("twice", given=[{"x": x} for x in XS], deadlines=[None] * 5)
    )
    assert branchy.plainly(("twice",)) == [[4, 14, 8, 4, 12]]
    assert branchy.plainly(("customer",)) is None
    assert [one.get("customer") for one in branchy] == [2, None, 4, 2, 6]
    failed = run(
        lambda: window({"offers": "raises"}, True, []).resolve_all(
            ("campaign",), given=givens, deadlines=[None] * 5, common={"items": ITEMS}
        )
    )
    assert failed.plainly(("campaign",)) is None
    assert not failed.all_well


def test_of_fetches_asked_for_together_each_keeps_its_own_timeout():
    """What comes after it is late, though others are still waited for."""

    @batch(timeout=0.1, fallback=-1)
    async def slow(keys: Sequence[int]) -> dict[int, int]:
        await asyncio.sleep(0.2)
        return await _echo(keys)

    @batch(timeout=5.0)
    async def slower(keys: Sequence[int]) -> dict[int, int]:
        await asyncio.sleep(0.5)
        return await _echo(keys)

    graph = Graph(Given, a=lookup(slow, key="x"), b=lookup(slower, key="x"))
    (found,) = run(lambda: graph.resolve_all(("a", "b"), given=[{"x": 20}], deadlines=[None]))
    assert (found.values, found.statuses["a"]) == ({"a": -1, "b": 20}, Status.FALLBACK)


def test_a_batch_keeps_its_own_table():
    """Which it may load anew while others are waited for."""
    table = {1: 10, 2: 20}

    @batch(timeout=5.0)
    async def quick(keys: Sequence[int]) -> dict[int, int]:
        return table

    @batch(timeout=5.0)
    async def slow(keys: Sequence[int]) -> dict[int, int]:
        await asyncio.sleep(1.0)
        return await _echo(keys)

    graph = Graph(Given, a=lookup(quick, key="x"), b=lookup(slow, key="x"))

    async def main() -> list[object]:
        asyncio.get_running_loop().call_later(0.5, table.clear)
        found = await graph.resolve_all(("a", "b"), given=[{"x": 1}, {"x": 2}], deadlines=[None, None])
        return [one["a"] for one in found]

    assert run(main) == [10, 20]


def test_who_is_late_for_a_list_takes_nothing_from_who_has_time():
    """Of elements that are fetched once for all."""

    @fetch(timeout=5.0, fallback=-1)
    async def one(item: int) -> int:
        await asyncio.sleep(0.1 * item)
        return item

    graph = Graph(Given, some=each(one, over="items"))
    late, whole = run(
        lambda: graph.resolve_all(
            "some", given=[{"x": 1}, {"x": 2}], deadlines=[0.25, None], common={"items": [1, 2, 3, 4]}
        )
    )
    assert (late["some"], late.statuses["some"]) == ([1, 2, -1, -1], Status.FALLBACK)
    assert (whole["some"], whole.statuses["some"], whole.whole) == ([1, 2, 3, 4], Status.OK, True)


def test_fetches_of_which_some_need_only_some_are_not_waited_for_together():
    """Whoever needs the quick one alone would wait for the slow one."""

    @batch(timeout=1.0)
    async def quick(keys: Sequence[int]) -> Mapping[int, int]:
        return {key: key for key in keys}

    @batch(timeout=1.0)
    async def slow(keys: Sequence[int]) -> Mapping[int, int]:
        return {key: key for key in keys}

    @batch(timeout=1.0)
    async def more(keys: Sequence[int]) -> Mapping[int, int]:
        return {key: key for key in keys}

    graph = Graph(Given, a=lookup(quick, key="x"), b=lookup(slow, key="x"), c=lookup(more, key="a"))
    assert graph.plan(("c", "b"), ("x",)).columns is None
    assert graph.plan(("a", "b"), ("x",)).columns is not None


LISTED = [("ends", -1, FetchTimedOut), ("fails of it", -1, FetchTimedOut), ("answers", 1, None)]


@pytest.mark.parametrize(("manner", "value", "reason"), LISTED)
def test_a_list_that_is_asked_for_once_has_its_timeout(manner, value, reason):
    """Whatever a call does that is told to end; that what it made of it is counted, its task is as before."""
    left: list[int] = []

    @batch(timeout=0.1, fallback=-1)
    async def stubborn(keys: Sequence[int]) -> dict[int, int]:
        asyncio.current_task().add_done_callback(lambda task: left.append(task.cancelling()))
        try:
            await never()
        except asyncio.CancelledError:
            if manner == "ends":
                raise
            if manner == "fails of it":
                raise ValueError(manner) from None
        return await _echo(keys)

    graph = Graph(Given, some=each(lookup(stubborn, key="item"), over="items"))
    given = {"given": [{"x": 1}, {"x": 2}], "deadlines": [None, None], "common": {"items": [1]}}
    for found in run(lambda: graph.resolve_all("some", **given)):
        assert found["some"] == [value]
        assert isinstance(found.outcomes["some"].error, reason or type(None))
    assert left == [0]


def test_of_fetches_asked_for_together_each_tells_keys_of_two_types_apart():
    """True is no 1, and it is the other fetch that they are keys of."""

    @batch(timeout=1.0)
    async def doubled(keys: Sequence[int]) -> dict[int, int]:
        return {key: 2 * key for key in keys}

    @batch(timeout=1.0)
    async def written(keys: Sequence[int]) -> dict[int, str]:
        return {key: repr(key) for key in keys}

    def key(x: int) -> int:
        return x == 2 or 1

    graph = Graph(Given, key, a=lookup(doubled, key="x"), b=lookup(written, key="key"))
    found = run(lambda: graph.resolve_all(("a", "b"), given=[{"x": 1}, {"x": 2}], deadlines=[None, None]))
    assert [one.values for one in found] == [{"a": 2, "b": "1"}, {"a": 4, "b": "True"}]
