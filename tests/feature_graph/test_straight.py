"""A run along a straight line says what the scheduler says, whatever goes wrong on its way."""

from __future__ import annotations

import asyncio
from itertools import product
from typing import TypedDict

import pytest

from feature_graph import Graph, Status, batch, branch, each, fetch, lookup, note
from feature_graph import plan as plans
from feature_graph.scope import StandIn
from tests.feature_graph.virtual_time import run


class Given(TypedDict):
    x: int
    items: list[int]


WAYS = ("ok", "raises", "late", "stands in", "cancels itself", "at once")


def shop(ways: dict[str, str], fallback: bool) -> Graph:
    """login, then a profile of customers, then what follows from it."""

    async def do(name: str, value: int) -> int:
        way = ways.get(name, "ok")
        if way != "at once":
            await asyncio.sleep(5.0 if way == "late" else 0.01)
        if way == "raises":
            raise ValueError(name)
        if way == "cancels itself":
            raise asyncio.CancelledError
        note(way=way)
        return StandIn(value, KeyError(name)) if way == "stands in" else value  # type: ignore[return-value]

    more = {"fallback": -1} if fallback else {}

    @fetch(timeout=1.0, **more)
    async def login(x: int) -> int:
        return await do("login", x)

    @fetch(timeout=1.0, **more)
    async def customer(login: int) -> int:
        return await do("customer", login)

    @fetch(timeout=1.0)
    async def campaign(twice: int) -> int:
        return await do("campaign", twice)

    def known(login: int) -> bool:
        if ways.get("known") == "raises":
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
        login,
        customer,
        campaign,
        known,
        stranger,
        twice,
        profile=branch("known", then="customer", otherwise="stranger"),
        sums=each(plus, over="items"),
    )


GOALS = ("campaign", "sums", "twice")


def told(graph: Graph, x: int, deadline: float | None) -> object:
    found = run(lambda: graph.resolve(GOALS, given={"x": x, "items": [1, 2]}, deadline=deadline))
    outcomes = {
        name: (o.status, o.value if o.has_value else None, type(o.error), o.root, o.via, dict(o.notes))
        for name, o in found.outcomes.items()
    }
    fetches = ("login", "customer", "campaign")
    began = {span.name: round(span.start_s, 6) for span in found.timeline if span.name in fetches}
    return outcomes, began, found.abandoned, {goal: found.degraded(goal) for goal in GOALS}


CASES = [
    *[{name: way} for name, way in product(("login", "customer", "campaign"), WAYS)],
    *[{name: "raises"} for name in ("known", "twice")],
    {"login": "stands in", "customer": "late"},
]


@pytest.mark.parametrize("ways", CASES, ids=str)
@pytest.mark.parametrize("fallback", [False, True])
def test_it_says_what_the_scheduler_says(
    ways: dict[str, str], fallback: bool, monkeypatch: pytest.MonkeyPatch
):
    """Whoever fails, is late, stands in, or cancels itself; with time, with little, and with none."""
    graph = shop(ways, fallback)
    asked = [(x, deadline) for x in (2, 3) for deadline in (None, 1.5, 0.015, 0.0)]
    assert graph.plan(GOALS, {"x": 0, "items": []}).line is not None
    straight = [told(graph, *one) for one in asked]
    monkeypatch.setattr(plans, "straight_line", lambda *_: None)
    scheduled = shop(ways, fallback)
    assert scheduled.plan(GOALS, {"x": 0, "items": []}).line is None
    assert straight == [told(scheduled, *one) for one in asked]


def test_fetches_that_may_overlap_are_no_line():
    """Two that nothing puts in order; two that are on the two sides of a branch are in order."""

    async def one(x: int) -> int:
        return x

    async def other(x: int) -> int:
        return x

    def which(x: int) -> bool:
        return True

    def both(one: int, other: int) -> int:
        return one + other

    graph = Graph(Given, one, other, which, both, side=branch("which", then="one", otherwise="other"))
    assert graph.plan("both", {"x": 1}).line is None
    assert graph.plan(("side", "one"), {"x": 1}).line is None
    assert graph.plan("side", {"x": 1}).line is not None
    assert graph.plan("which", {"x": 1}).line is None  # nothing to wait for: the queue does it at once


def test_a_caller_who_leaves_sees_every_fetch_end():
    """The line's one task is cancelled, and waited for."""
    ended: list[str] = []

    async def slow(x: int) -> int:
        try:
            await asyncio.sleep(10.0)
        finally:
            ended.append("slow")
        return x

    graph = Graph(Given, slow)

    async def main() -> None:
        asked = asyncio.create_task(graph.resolve("slow", given={"x": 1}))
        await asyncio.sleep(0.1)
        asked.cancel()
        await asyncio.wait([asked])
        assert asked.cancelled()
        assert ended == ["slow"]

    run(main)


@pytest.mark.parametrize("x", [1, 2, 3, 4])
def test_a_branch_that_is_come_by_twice_takes_its_side_once(x: int):
    """As the side of another branch, and as a goal: the side that it does not take is not run."""

    async def row(x: int) -> int:
        return x

    def is_odd(row: int) -> bool:
        return row % 2 == 1

    def is_small(row: int) -> bool:
        return row < 3

    def boom(row: int) -> int:
        raise ValueError(row)

    def fine(row: int) -> int:
        return row

    graph = Graph(
        Given,
        row,
        is_odd,
        is_small,
        boom,
        fine,
        inner=branch("is_small", then="fine", otherwise="boom")
        if x < 3
        else branch("is_small", then="boom", otherwise="fine"),
        outer=branch("is_odd", then="inner", otherwise="fine"),
    )
    goals = ("outer", "inner")
    assert graph.plan(goals, {"x": x}).line is not None
    found = run(lambda: graph.resolve(goals, given={"x": x}))
    assert found.values == {"outer": x, "inner": x}
    assert (found.outcomes["boom"].status, found.whole) == (Status.NOT_NEEDED, True)
    (found,) = run(lambda: _looked_up(graph, is_odd, is_small, boom, fine, x))
    assert (found["inner"], found.outcomes["boom"].status) == (x, Status.NOT_NEEDED)


async def _looked_up(graph: Graph, *functions):
    """The same graph over a lookup, side by side."""
    *nodes, x = functions

    @batch(timeout=1.0)
    async def rows(keys):
        return {key: key for key in keys}

    same = Graph(
        Given,
        *nodes,
        row=lookup(rows, key="x"),
        **{
            name: branch(one.condition, then=one.then, otherwise=one.otherwise)
            for name in ("inner", "outer")
            if (one := graph.nodes[name])
        },
    )
    assert same.plan(("outer", "inner"), {"x": x}).columns is not None
    return await same.resolve_all(("outer", "inner"), given=[{"x": x}], deadlines=[None])
