"""What is said of a graph without one of its nodes is what happens when that node is switched off."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_graph import BadRun, Graph, Outcome, Status, batch, branch, each, fetch, first_of, lookup
from feature_graph.errors import ElementFailed, SwitchedOff
from feature_graph.impact import Effect, without
from feature_graph.node import MISSING
from tests.feature_graph.random_graphs import cases
from tests.feature_graph.virtual_time import run


class Given(TypedDict):
    user: str
    arms: list[str]
    bureau: str


@fetch(fallback=0)
async def profile(user: str) -> int:
    return 5


@fetch()
async def bureau_score(user: str, bureau: str) -> float:
    return 0.9


@fetch()
async def cached_score(user: str) -> float:
    return 0.5


@batch(fallback=-1.0)
async def stocks(keys: Sequence[str], bureau: str) -> Mapping[str, float]:
    return dict.fromkeys(keys, 1.0)


def is_new(profile: int) -> bool:
    return profile == 0


def risk(score: float) -> float:
    return 1 - score


def margin(profile: int, bureau_score: float = 0.1) -> float:
    return profile + bureau_score


def told(profile: int, bureau_score: Outcome[float]) -> str:
    return bureau_score.status.value


graph = Graph(
    Given,
    profile,
    bureau_score,
    cached_score,
    is_new,
    risk,
    margin,
    told,
    score=branch("is_new", then="bureau_score", otherwise="cached_score"),
    best=first_of("bureau_score", "cached_score"),
    spare=first_of("cached_score", "bureau_score"),
    only=first_of("bureau_score"),
    stock=each(lookup(stocks, key="arm"), over="arms", element="arm"),
)
GIVEN = {"user": "ann", "arms": ["a", "b"], "bureau": "b"}


def test_every_node_is_told_what_becomes_of_it():
    """Lost, next choice, default used, spare lost, may be lost by a branch: each with its way."""
    impact = without(graph, "bureau_score")

    assert {name: hit.effect for name, hit in impact.hits.items()} == {
        "profile": Effect.UNAFFECTED,
        "bureau_score": Effect.LOST,
        "cached_score": Effect.UNAFFECTED,
        "is_new": Effect.UNAFFECTED,
        "risk": Effect.MAY_BE_LOST,
        "margin": Effect.DEFAULT,
        "told": Effect.DEFAULT,
        "score": Effect.MAY_BE_LOST,
        "best": Effect.NEXT_CHOICE,
        "spare": Effect.SPARE_LOST,
        "only": Effect.LOST,
        "stock": Effect.UNAFFECTED,
    }
    assert impact.path("risk") == ("risk", "score", "bureau_score")
    assert impact.path("profile") == ()


def test_a_known_fallback_is_followed_through_the_branch_that_it_decides():
    """Without ``profile`` it is 0; what a derived node makes of that is not known, what a branch is."""
    nodes = {"flag": fetch(fallback=False)(profile), "live": bureau_score, "old": cached_score}
    small = Graph(Given, **nodes, taken=branch("flag", then="live", otherwise="old"))

    impact = without(small, "flag")

    assert (impact["flag"].effect, impact["flag"].value) == (Effect.FALLBACK, False)
    assert impact["taken"].effect is Effect.STAND_IN
    assert without(graph, "profile")["is_new"].effect is Effect.STAND_IN
    assert without(graph, "profile")["is_new"].value is MISSING


def test_it_reads_as_a_table():
    assert str(without(graph, "bureau_score").goals("risk", "best", "margin", "stock")) == (
        "without 'bureau_score' (bureau_score):\n"
        "  risk    may be lost   risk <- score <- bureau_score\n"
        "  best    next choice   best <- bureau_score\n"
        "  margin  default used  margin <- bureau_score\n"
        "  unaffected: 1"
    )
    assert "profile  fallback: 0 " in str(without(graph, "profile"))


def test_an_input_takes_down_the_fetches_that_read_it():
    """A client is an input; without it both its fetch and the elements of its batch are gone."""
    impact = without(graph, "bureau")

    assert impact.down == ("bureau_score", "stock")
    assert impact["stock"].effect is Effect.MAY_DEGRADE
    assert run(lambda: impact.graph.resolve("stock", given=GIVEN))["stock"] == [-1.0, -1.0]
    assert run(lambda: impact.graph.resolve("stock", given={**GIVEN, "arms": []}))["stock"] == []


def test_a_source_takes_down_all_that_ask_it():
    guards = pytest.importorskip("feature_graph.guards")
    shop = guards.Source("shop")

    @fetch(source=shop)
    async def price(user: str) -> float:
        return 1.0

    @fetch(source=shop, fallback=2.0)
    async def stock(user: str) -> float:
        return 1.0

    impact = without(Graph(Given, price, stock, cached_score), "shop")

    assert impact.down == ("price", "stock")
    assert {name: str(hit) for name, hit in impact.hits.items()} == {
        "price": "lost",
        "stock": "fallback: 2.0",
        "cached_score": "unaffected",
    }


@pytest.mark.parametrize("in_order", [False, True])
def test_the_switched_off_graph_fails_at_once_and_says_why(in_order):
    """The graph itself stays as it is."""
    off = without(graph, "bureau_score").graph
    resolve = off.resolve_in_order if in_order else off.resolve

    found = run(lambda: resolve(["bureau_score", "best", "margin", "told"], given=GIVEN))

    error = found.outcomes["bureau_score"].error
    assert isinstance(error, SwitchedOff)
    assert str(error) == "'bureau_score' is switched off: without('bureau_score')"
    assert (found["best"], found["margin"], found["told"]) == (0.5, 5.1, "failed")
    assert run(lambda: graph.resolve("bureau_score", given=GIVEN))["bureau_score"] == 0.9


@pytest.mark.parametrize("name", ["is_new", "score", "best", "stock"])
def test_any_kind_of_node_can_be_switched_off(name):
    impact = without(graph, name)

    found = run(lambda: impact.graph.resolve(name, given=GIVEN))

    assert impact[name].effect in (Effect.LOST, Effect.MAY_DEGRADE)
    assert found.outcomes[name].status in (Status.FAILED, Status.FALLBACK)


def test_two_can_be_switched_off_one_after_the_other():
    off = without(without(graph, "bureau_score").graph, "cached_score").graph

    assert run(lambda: off.resolve("best", given=GIVEN)).outcomes["best"].root == "bureau_score"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("profil", "'profil' is neither a node nor a source .* nearest: 'profile'"),
        ("unread", "'unread' is an input that no fetch reads"),
    ],
)
def test_what_is_not_there_cannot_be_taken_away(name, message):
    class More(Given):
        unread: int

    with pytest.raises(BadRun, match=message):
        without(Graph(More, profile), name)


def test_a_chain_of_ten_thousand_is_read_without_recursion():
    def first(user: str) -> int:
        return 0

    nodes = {"n0": first}
    for number in range(1, 10_000):
        space = {}
        exec(f"def link(n{number - 1}): return n{number - 1} + 1", space)
        nodes[f"n{number}"] = space["link"]

    impact = without(Graph(Given, **nodes), "n0")

    assert impact["n9999"].effect is Effect.LOST
    assert len(impact.path("n9999")) == 10_000


# ---------------------------------------------------------------------- held against runs that happen


HAS_A_VALUE = {Effect.SPARE_LOST, Effect.MAY_DEGRADE, Effect.NEXT_CHOICE, Effect.DEFAULT, Effect.FALLBACK}


def with_and_without(case, name):
    inputs = {key: value for key, value in case.given.items() if key in case.graph.inputs}
    impact = without(case.graph, name)
    before = run(lambda: case.graph.resolve(case.goals, given=inputs))
    after = run(lambda: impact.graph.resolve(case.goals, given=inputs))
    return impact, before, after


@settings(max_examples=150, deadline=None)
@given(case=cases(), data=st.data())
def test_unaffected_is_equal_and_lost_is_lost_whatever_else_happens(case, data):
    """With failures, timeouts and cancellations all over the graph."""
    name = data.draw(st.sampled_from(list(case.graph)))
    impact, before, after = with_and_without(case, name)

    for goal in case.goals:
        was, became = before.outcomes[goal], after.outcomes[goal]
        if impact[goal].effect is Effect.UNAFFECTED:
            assert (became.status, became.value, became.root) == (was.status, was.value, was.root)
        if impact[goal].effect is Effect.LOST:
            assert not became.has_value


@settings(max_examples=150, deadline=None)
@given(case=cases(trouble=False), data=st.data())
def test_where_nothing_else_fails_every_word_holds(case, data):
    """A value where one is promised; the same, or the known one, where that is said."""
    name = data.draw(st.sampled_from(list(case.graph)))
    impact, before, after = with_and_without(case, name)

    for goal in case.goals:
        hit, was, became = impact[goal], before.outcomes[goal], after.outcomes[goal]
        if hit.effect in (Effect.UNAFFECTED, Effect.SPARE_LOST):
            assert (became.status, became.value) == (was.status, was.value)
        # A fallback function may raise, and what stands in may be no key of a batch.
        errors = [outcome.error for outcome in after.outcomes.values() if outcome.error is not None]
        only_this = all(isinstance(error, SwitchedOff | ElementFailed) for error in errors)
        if hit.effect in HAS_A_VALUE | {Effect.STAND_IN} and only_this:
            assert became.has_value
        if hit.effect is Effect.LOST:
            assert not became.has_value
        if hit.value is not MISSING:
            assert became.value == hit.value
