"""Runs that go side by side say what each says alone, whatever goes wrong with one or all of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from itertools import product
from typing import TypedDict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_graph import Graph, Outcome, Status, TransientError, batch, branch, each, fetch, lookup, note
from feature_graph.columns import JOIN_S
from feature_graph.scope import StandIn
from tests.feature_graph.random_graphs import cases
from tests.feature_graph.virtual_time import run


class Given(TypedDict):
    x: int
    items: list[int]


WAYS = ("ok", "raises", "late", "stands in", "cancels itself", "at once", "forgets", "errs", "no mapping")


def shop(ways: dict[str, str], fallback: bool, asked: list[tuple[str, list[int]]]) -> Graph:
    """login, then a profile of customers, then what follows from it; all of it looked up."""

    async def do(name: str, keys: Sequence[int]) -> Mapping[int, int]:
        way = ways.get(name, "ok")
        asked.append((name, list(keys)))
        if way != "at once":
            await asyncio.sleep(5.0 if way == "late" else 0.01)
        if way == "raises":
            raise ValueError(name)
        if way == "cancels itself":
            raise asyncio.CancelledError
        if way == "no mapping":
            return [1]  # type: ignore[return-value]
        note(way=way)
        found: dict[int, object] = {key: key for key in keys}
        first = min(keys)
        if way == "forgets":
            del found[first]
        if way == "errs":
            found[first] = KeyError(name)
        if way == "stands in":
            found[first] = StandIn(first, KeyError(name))
        return found  # type: ignore[return-value]

    more = {"fallback": -1} if fallback else {}

    @batch(timeout=1.0, max=2, **more)
    async def logins(keys: Sequence[int]) -> Mapping[int, int]:
        return await do("logins", keys)

    @batch(timeout=1.0, **more)
    async def customers(keys: Sequence[int]) -> Mapping[int, int]:
        return await do("customers", keys)

    @batch(timeout=1.0)
    async def campaigns(keys: Sequence[int], x: int) -> Mapping[int, int]:
        return {key: value + x for key, value in (await do("campaigns", keys)).items()}

    def known(login: int) -> bool:
        if ways.get("known") == "raises" and login == 2:
            raise ValueError("known")
        return login % 2 == 0

    def stranger() -> int:
        return 7

    def twice(profile: int) -> int:
        if ways.get("twice") == "raises":
            raise ValueError("twice")
        return 2 * profile

    def plus(item: int, twice: int) -> int:
        return item + twice

    return Graph(
        Given,
        known,
        stranger,
        twice,
        login=lookup(logins, key="x"),
        customer=lookup(customers, key="login"),
        campaign=lookup(campaigns, key="twice"),
        profile=branch("known", then="customer", otherwise="stranger"),
        sums=each(plus, over="items"),
    )


LOOKUPS = ("login", "customer", "campaign")
GOALS = ("campaign", "sums", "twice")
XS = (2, 3, 4, 2, 6)


def told(found, with_times: bool = True) -> object:
    outcomes = {
        name: (o.status, o.value if o.has_value else None, type(o.error), o.root, o.via)
        for name, o in found.outcomes.items()
    }
    began = {span.name: round(span.start_s, 6) for span in found.timeline if span.name in LOOKUPS[:2]}
    return (
        outcomes,
        began if with_times else None,
        found.abandoned,
        {goal: found.degraded(goal) for goal in GOALS},
    )


def campaigns_began_s(found) -> float | None:
    return next((span.start_s for span in found.timeline if span.name == "campaign"), None)


CASES = [
    *[{name: way} for name, way in product(("logins", "customers", "campaigns"), WAYS)],
    *[{name: "raises"} for name in ("known", "twice")],
    {"logins": "stands in", "customers": "late"},
]


@pytest.mark.parametrize("ways", CASES, ids=str)
@pytest.mark.parametrize("fallback", [False, True])
def test_side_by_side_they_say_what_each_says_alone(ways: dict[str, str], fallback: bool):
    """Five runs, two of them alike; with time, with little, with none, and each with its own."""
    graph = shop(ways, fallback, [])
    givens = [{"x": x, "items": [1, 2]} for x in XS]
    assert graph.plan(GOALS, givens[0]).columns is not None
    again = fallback and "raises" in (ways.get("logins"), ways.get("customers"))
    """What comes after a call that failed comes later: each key was asked for once more."""
    for deadlines in ([None] * 5, [1.5] * 5, [0.015] * 5, [0.0] * 5, [None, 1.5, 0.015, 0.0, 0.5]):
        if again and 0.015 in deadlines:
            continue
        together = run(lambda d=deadlines: graph.resolve_all(GOALS, given=givens, deadlines=d))
        for place, (inputs, deadline) in enumerate(zip(givens, deadlines, strict=True)):
            if {"forgets", "errs", "stands in"} & {*ways.values()}:
                continue  # the first key of a batch is in trouble, and alone each key is the first
            alone = run(lambda g=inputs, d=deadline: graph.resolve(GOALS, given=g, deadline=d))
            assert told(together[place], not again) == told(alone, not again), (place, deadline)
            joined, began_s = campaigns_began_s(together[place]), campaigns_began_s(alone)
            if joined is not None and began_s is not None and not again:  # guests may wait for customers
                assert -1e-6 <= joined - began_s <= JOIN_S + 1e-6, (place, deadline)


@pytest.mark.parametrize("way", ["forgets", "errs", "stands in"])
def test_trouble_with_one_key_is_no_matter_of_the_others(way: str):
    """Key 2 has none, key 4 is as ever."""
    asked: list[tuple[str, list[int]]] = []
    graph = shop({"customers": way}, True, asked)
    givens = [{"x": x, "items": [1]} for x in (2, 4)]
    poor, fine = run(lambda: graph.resolve_all(GOALS, given=givens, deadlines=[None, None]))
    assert poor.outcomes["customer"].status is Status.FALLBACK
    assert poor["twice"] == (4 if way == "stands in" else -2)
    assert fine.outcomes["customer"].status is Status.OK
    assert (fine["twice"], fine.whole, poor.whole) == (8, True, False)
    assert asked[:2] == [("logins", [2, 4]), ("customers", [2, 4])]


@pytest.mark.parametrize("error", [ValueError, ConnectionError, TransientError])
def test_a_call_that_fails_over_a_key_fails_for_nobody_else(error: type[Exception]):
    """Each key is asked for once more, alone, unless it is the source that is away."""
    asked: list[list[int]] = []

    @batch(timeout=1.0, fallback=0)
    async def table(keys: Sequence[int]) -> Mapping[int, int]:
        asked.append(list(keys))
        await asyncio.sleep(0.01)
        if 3 in keys:
            raise error("3")
        return {key: 10 * key for key in keys}

    graph = Graph(Given, row=lookup(table, key="x"))
    found = run(lambda: graph.resolve_all("row", given=[{"x": x} for x in XS], deadlines=[None] * 5))
    if error is ValueError:
        assert [one["row"] for one in found] == [20, 0, 40, 20, 60]
        assert asked == [[2, 3, 4, 6], [2], [3], [4], [6]]
        assert found[0].outcomes["row"].notes == {"batch": 1}
    else:
        assert [one["row"] for one in found] == [0] * 5
        assert asked == [[2, 3, 4, 6]]
    assert all(one.abandoned == () for one in found)


def test_who_has_no_time_to_ask_once_more_is_told_how_it_failed():
    """As it would be alone."""

    @batch(timeout=0.015)
    async def table(keys: Sequence[int]) -> Mapping[int, int]:
        await asyncio.sleep(0.01)
        raise ValueError("of some key")

    graph = Graph(Given, row=lookup(table, key="x"))
    found = run(lambda: graph.resolve_all("row", given=[{"x": x} for x in XS], deadlines=[None] * 5))
    assert [type(one.outcomes["row"].error) for one in found] == [ValueError] * 5
    assert [one.statuses["row"] for one in found] == [Status.FAILED] * 5


def test_a_key_is_asked_for_once_and_calls_hold_as_many_as_they_may():
    """Of 2, 3, 4, 2, 6 two in a call; those whose other arguments differ ask apart."""
    asked: list[tuple[str, list[int]]] = []
    graph = shop({}, False, asked)
    givens = [{"x": x, "items": []} for x in XS]
    found = run(lambda: graph.resolve_all(GOALS, given=givens, deadlines=[None] * 5))
    assert [one["campaign"] for one in found] == [6, 17, 12, 6, 18]
    assert asked[:3] == [("logins", [2, 3]), ("logins", [4, 6]), ("customers", [2, 4, 6])]
    assert sorted(asked[3:]) == [
        ("campaigns", [4]),
        ("campaigns", [8]),
        ("campaigns", [12]),
        ("campaigns", [14]),
    ]
    assert found[0].outcomes["customer"].notes == {"way": "ok", "batch": 3}


def test_a_graph_that_is_no_such_line_is_run_for_each():
    """A fetch that is no lookup; two lookups of one batch, whose keys one run asks for once."""

    @fetch(timeout=1.0)
    async def own(x: int) -> int:
        await asyncio.sleep(0.01)
        return x

    @batch(timeout=1.0)
    async def table(keys: Sequence[int]) -> Mapping[int, int]:
        return {key: key for key in keys}

    def both(own: int, other: int) -> int:
        return own + other

    graph = Graph(Given, own, both, one=lookup(table, key="x"), other=lookup(table, key="one"))
    givens = [{"x": x} for x in XS]
    assert graph.plan("both", givens[0]).columns is None
    assert graph.plan("other", givens[0]).columns is None
    found = run(lambda: graph.resolve_all("both", given=givens, deadlines=[None] * 5))
    assert [one["both"] for one in found] == [4, 6, 8, 4, 12]


def test_runs_of_several_plans_come_back_in_their_order():
    """Who hands a node in has another plan."""
    graph = shop({}, False, [])
    givens = [{"x": 2, "items": []}, {"x": 2, "items": [], "profile": 5}, {"x": 3, "items": []}]
    found = run(lambda: graph.resolve_all(("twice",), given=givens, deadlines=[None] * 3))
    assert [one["twice"] for one in found] == [4, 10, 14]


def test_a_caller_who_leaves_sees_every_call_end():
    """Also those that the others wait for."""
    ended: list[str] = []

    @batch()
    async def slow(keys: Sequence[int]) -> Mapping[int, int]:
        try:
            await asyncio.sleep(10.0)
        finally:
            ended.append("slow")
        return {}

    graph = Graph(Given, found=lookup(slow, key="x"))

    async def main() -> None:
        work = graph.resolve_all("found", given=[{"x": 1}, {"x": 2}], deadlines=[None, None])
        asked = asyncio.create_task(work)
        await asyncio.sleep(0.1)
        asked.cancel()
        await asyncio.wait([asked])
        assert asked.cancelled()
        assert ended == ["slow"]

    run(main)


@pytest.mark.parametrize("trouble", [1, 2, 3, 4, 5])
def test_after_a_branch_trouble_is_still_that_of_who_has_it(trouble: int):
    """Those of one side come back behind those of the other."""

    def is_odd(x: int) -> bool:
        return x % 2 == 1

    def same(x: int) -> int:
        return x

    def ten_fold(x: int) -> int:
        return 10 * x

    def picky(side: int, x: int) -> int:
        if x == trouble:
            raise ValueError(x)
        return side

    @batch(timeout=1.0, max=2)
    async def rows(keys: Sequence[int]) -> Mapping[int, int]:
        await asyncio.sleep(0.01 * min(keys))
        return {key: key for key in keys if key not in (trouble, 10 * trouble)}

    graph = Graph(
        Given,
        is_odd,
        same,
        ten_fold,
        picky,
        side=branch("is_odd", then="same", otherwise="ten_fold"),
        row=lookup(rows, key="side"),
    )
    givens = [{"x": x} for x in (2, 1, 4, 3, 5)]
    expected = {x: x if x % 2 else 10 * x for x in range(1, 6) if x != trouble}
    for goal in ("picky", "row"):
        found = run(lambda g=goal: graph.resolve_all(g, given=givens, deadlines=[None] * 5))
        told = {given["x"]: one[goal] for given, one in zip(givens, found, strict=True) if goal in one.values}
        assert told == expected


def test_a_node_may_raise_what_ends_an_iterator():
    """``next`` without a default: a failure like any other, in a list of elements too."""

    def first(x: int) -> int:
        return next(one for one in (1, 3) if one == x)

    def small(item: int) -> int:
        return next(one for one in (1, 3) if one == item)

    graph = Graph(Given, first, firsts=each(small, over="items"))
    givens = [{"x": x, "items": [1, x, 3]} for x in (1, 2, 3)]
    found = run(lambda: graph.resolve_all(("first", "firsts"), given=givens, deadlines=[None] * 3))
    assert [one.values for one in found] == [
        {"first": 1, "firsts": [1, 1, 3]},
        {},
        {"first": 3, "firsts": [1, 3, 3]},
    ]


def test_equal_keys_of_two_types_are_two_keys():
    """One caller's True is no other's 1."""

    @batch(timeout=1.0)
    async def names(keys: Sequence[object]) -> dict[object, str]:
        if any(isinstance(key, bool) for key in keys):
            raise ValueError("no truth")
        return {key: str(key) for key in keys}

    graph = Graph(Given, name=lookup(names, key="x"))
    for xs in ((True, 1), (1, True), (1, 2.0, True, 2)):
        found = run(
            lambda some=xs: graph.resolve_all(
                "name", given=[{"x": x} for x in some], deadlines=[None] * len(some)
            )
        )
        assert [one.get("name") for one in found] == [None if x is True else str(x) for x in xs]


def test_a_branch_passes_on_how_a_given_side_was_had():
    """A stand-in of an earlier run is one here."""

    def even(x: int) -> bool:
        return x % 2 == 0

    def two() -> int:
        return 2

    def side() -> int:
        return 3

    graph = Graph(Given, even, two, side, which=branch("even", then="two", otherwise="side"))
    given = {"x": 2, "two": Outcome(Status.FALLBACK, 3, error=ValueError("old"), root="two")}
    (found,) = run(lambda: graph.resolve_all("which", given=[given], deadlines=[None]))
    assert found.statuses["which"] == Status.FALLBACK


def test_a_node_that_holds_the_loop_is_told_of_those_who_share_it():
    """Nobody can say which of the calls it was."""

    def slow(x: int) -> int:
        end = time.monotonic() + 0.02
        while time.monotonic() < end:
            pass
        return x

    found = asyncio.run(
        Graph(Given, slow).resolve_all("slow", given=[{"x": 1}, {"x": 2}], deadlines=[None, None])
    )
    assert not found.all_well
    assert sum(one.blocked.get("slow", 0.0) for one in found) > 0.01


ASKED = st.tuples(st.integers(0, 3), st.sampled_from([None, None, 0.0, 2.25, 5.25]))


@settings(max_examples=200, deadline=None)
@given(
    case=st.booleans().flatmap(lambda looked_up: cases(looked_up=looked_up)),
    asked=st.lists(ASKED, min_size=1, max_size=4),
    shared=st.sets(st.sampled_from(["i0", "i1"])),
)
def test_on_any_graph_they_say_what_each_says_alone(case, asked, shared):
    """Graphs with every kind of node and of trouble; several runs, with inputs of their own or shared."""
    common = {name: value for name, value in case.given.items() if name in shared}
    givens = [
        {name: value for name, value in {**case.given, "i0": one}.items() if name not in shared}
        for one, _ in asked
    ]
    deadlines = [deadline for _, deadline in asked]
    together = run(
        lambda: case.graph.resolve_all(case.goals, given=givens, deadlines=deadlines, common=common)
    )
    for found, inputs, deadline in zip(together, givens, deadlines, strict=True):
        alone = run(
            lambda g=inputs, d=deadline: case.graph.resolve(case.goals, given={**common, **g}, deadline=d)
        )
        assert (found.statuses, found.values) == (alone.statuses, alone.values)
