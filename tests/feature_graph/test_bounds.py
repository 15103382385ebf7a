"""How late a goal can be is known before anything runs, and so is what makes it late."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from math import inf
from typing import TypedDict

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from feature_graph import BadRun, Graph, batch, branch, each, fetch, first_of, lookup
from feature_graph.errors import CannotMeet
from tests.feature_graph.random_graphs import cases
from tests.feature_graph.virtual_time import never, run


class Given(TypedDict):
    user: str
    arms: list[str]


def hanging(timeout_s, *needs):
    space = {"never": never}
    exec(f"async def function({', '.join(needs)}): await never()", space)
    return fetch(timeout=timeout_s, fallback=1)(space["function"])


@batch(timeout=0.04, fallback=0)
async def prices(keys: Sequence[str]) -> Mapping[str, int]:
    await never()


@fetch(timeout=0.01, fallback=0)
async def stock(arm: str) -> int:
    await never()


async def unbounded(user: str) -> int:
    return 1


def rank(price: list[int], score: int) -> int:
    return sum(price) + score


def double(arm: str) -> str:
    return arm * 2


def tree(**more):
    return Graph(
        Given,
        profile=hanging(0.03, "user"),
        bureau=hanging(0.08, "profile"),
        live=hanging(0.02, "user"),
        cached=hanging(0.01, "profile"),
        price=lookup(prices, key="user"),
        every_price=each(lookup(prices, key="arm"), over="arms", element="arm"),
        every_stock=each(stock, over="arms", timeout=0.05),
        any_stock=each(stock, over="arms"),
        doubled=each(double, over="arms"),
        score=branch("profile", then="bureau", otherwise="live"),
        best=first_of("live", "bureau", "cached"),
        unbounded=unbounded,
        **more,
    )


graph = tree()


@pytest.mark.parametrize(
    ("goal", "worst_s"),
    [
        ("user", 0.0),
        ("bureau", 0.11),
        ("price", 0.04),
        ("every_price", 0.04),
        ("every_stock", 0.05),
        ("any_stock", inf),
        ("doubled", 0.0),
        ("score", 0.03 + 0.11),
        ("best", 0.02 + 0.11 + 0.04),
        ("unbounded", inf),
    ],
)
def test_every_kind_of_node_has_its_bound(goal, worst_s):
    """A lookup its timeout, an each its own or its lookup's; of unknown many fetches nobody knows."""
    assert graph.worst_case(goal) == pytest.approx(worst_s)


@pytest.mark.parametrize(
    ("goal", "path"),
    [
        ("bureau", [("profile", 0.03), ("bureau", 0.08)]),
        ("score", [("profile", 0.03), ("bureau", 0.08), ("profile", 0.03), ("score", 0.0)]),
        ("best", [("profile", 0.03), ("bureau", 0.08), ("live", 0.02), ("cached", 0.04), ("best", 0.0)]),
        ("user", []),
    ],
)
def test_the_path_adds_up_to_the_bound(goal, path):
    """Choices that are not followed are told in one piece."""
    found = graph.worst_path(goal)

    assert sorted(found) == sorted((name, pytest.approx(s)) for name, s in path)
    assert sum(wait.seconds for wait in found) == pytest.approx(graph.worst_case(goal))


def test_a_service_that_cannot_meet_its_deadline_is_told_so_when_it_starts():
    """Every goal that is too late, and what it waits for."""
    graph.check_deadline(["bureau", "price"], 0.12)

    with pytest.raises(CannotMeet) as caught:
        graph.check_deadline(["bureau", "price", "any_stock"], 0.1)

    assert str(caught.value) == (
        "these goals may take longer than 100 ms:"
        "\n  - 'bureau': 110 ms = profile 30 ms + bureau 80 ms"
        "\n  - 'any_stock': for ever (no timeout) = any_stock for ever (no timeout)"
    )


def test_a_goal_that_does_not_exist_has_no_bound():
    for ask in (graph.worst_case, graph.worst_path, lambda goal: graph.check_deadline(goal, 1)):
        with pytest.raises(BadRun, match="'nobody' is neither a node nor an input"):
            ask("nobody")


def test_nodes_on_a_ring_that_never_closes_are_bounded_together():
    """Each is a side of the other, from opposite ends of one condition."""
    ring = Graph(
        Given,
        flag=hanging(0.01, "user"),
        one=hanging(0.02, "left"),
        two=hanging(0.04, "right"),
        left=branch("flag", then="two", otherwise="user"),
        right=branch("flag", then="user", otherwise="one"),
    )

    assert ring.worst_case("left") == pytest.approx(0.07)
    assert sum(wait.seconds for wait in ring.worst_path("left")) == pytest.approx(0.07)


def test_the_bound_is_reached_when_everything_hangs():
    """It is no mere guess from above."""

    async def timed(goal):
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        await graph.resolve(goal, given={"user": "ann", "arms": ["a", "b"]})
        return loop.time() - began_s

    for goal in ("bureau", "price", "every_price", "every_stock", "score"):
        assert run(lambda goal=goal: timed(goal)) <= graph.worst_case(goal) + 1e-9
    assert run(lambda: timed("bureau")) == pytest.approx(graph.worst_case("bureau"))


@settings(max_examples=120, deadline=None)
@given(case=cases(), goal=st.integers(0, 3))
def test_no_run_is_later_than_its_worst_case_and_its_path_adds_up(case, goal):
    """On random graphs of every kind of node, with every kind of trouble."""
    name = case.goals[goal % len(case.goals)]
    worst_s = case.graph.worst_case(name)

    async def timed():
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        await case.graph.resolve(name, given=case.given)
        return loop.time() - began_s

    assert run(timed) <= worst_s + 1e-6
    assume(worst_s < inf)
    assert sum(wait.seconds for wait in case.graph.worst_path(name)) == pytest.approx(worst_s)


def test_a_long_chain_and_nested_choices_are_bounded_at_once():
    """The path stays as long as the graph is deep, however many ways lead through it."""
    nodes = {"n0": hanging(0.001, "user")}
    for number in range(1, 2_000):
        below = sorted({f"n{number - 1}", f"n{max(0, number - 2)}"})
        nodes[f"n{number}"] = first_of(*below) if number % 50 == 0 else hanging(0.001, *below)

    deep = Graph(Given, **nodes)

    assert len(deep.worst_path("n1999")) < 2_100
    assert sum(wait.seconds for wait in deep.worst_path("n1999")) == pytest.approx(deep.worst_case("n1999"))
