"""What each kind of node takes and gives, by its types."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import pytest

from feature_graph import batch, branch, each, fetch, first_of, lookup, wire
from tests.feature_graph.typed_nodes import Http, node, problems_of, score, text


def test_a_branch_gives_what_both_sides_do():
    """The side that does not fit is named, with its place."""

    def risk(chosen: float) -> float:
        return chosen

    (told_so,) = problems_of(text, score, risk, chosen=branch("user", then="score", otherwise="text"))
    here, there = r"\S*test_edge_nodes\.py:\d+", r"\S*typed_nodes\.py:\d+"
    assert re.search(rf"but 'chosen' at {here} may give str, from 'text' at {there}$", told_so)
    assert problems_of(score, risk, chosen=branch("user", then="score", otherwise="age")) == []


def test_a_first_of_gives_what_any_choice_does():
    """Through other first_ofs and branches too; an input may be a choice."""

    def f(best: str) -> str:
        return best

    named = {"best": first_of("inner", "user"), "inner": branch("user", then="text", otherwise="maybe")}
    (told_so,) = problems_of(text, f, **named)
    assert "may give str | None, from 'maybe' at tests" in told_so


def test_branches_that_need_each_other_are_read_once():
    """(3) A ring that cannot close gives what comes into it."""

    def f(a: int) -> int:
        return a

    ring = {
        "a": branch("user", then="b", otherwise="age"),
        "b": branch("user", then="text", otherwise="a"),
    }
    (told_so,) = problems_of(text, f, **ring)
    assert "'a' at" in told_so
    assert "from 'text'" in told_so


def test_wired_parameters_are_checked_against_their_own_nodes():
    """The message tells the parameter and the node."""

    def distance(a: float, b: float) -> float:
        return a - b

    (told_so,) = problems_of(text, score, d=wire(distance, a="score", b="text"))
    assert "takes b: float from 'text', but 'text' at" in told_so


@batch(max=10, fallback=0.0)
async def prices(ids: Sequence[str], http: Http) -> Mapping[str, float | KeyError]:
    return {}


def test_a_lookup_takes_a_key_and_gives_a_value():
    """The key is an element of the batch's keys; an error in the mapping is no value."""

    def f(price: float) -> float:
        return price

    assert problems_of(f, price=lookup(prices, key="user")) == []
    (told_so,) = problems_of(price=lookup(prices, key="age"))
    assert "takes keys of str from 'age', but 'age' at" in told_so
    assert "gives int" in told_so
    (told_so,) = problems_of(price=lookup(prices, key="user"), f=node("price", str))
    assert told_so.endswith("gives float")


def test_a_batch_that_is_none_is_refused():
    """What gives no mapping, takes no sequence, or answers by other keys than it was asked."""

    @batch()
    async def listed(ids: Sequence[str]) -> list[float]:
        return []

    @batch()
    async def single(key: str) -> Mapping[str, float]:
        return {}

    @batch()
    async def crossed(ids: Sequence[str]) -> Mapping[int, float]:
        return {}

    told_so = problems_of(
        a=lookup(listed, key="user"), b=lookup(single, key="user"), c=lookup(crossed, key="user")
    )
    assert [each.partition(";")[0].partition("py:")[2].partition(" ")[2] for each in told_so] == [
        "gives list[float]",
        "takes key: str first",
        "takes keys of str, but gives a mapping by int",
    ]


def test_each_takes_elements_and_gives_a_list():
    """What it goes over is a sequence; its elements are what the body takes."""

    async def price(arm: str, http: Http) -> float:
        return 1.0

    def total(all_prices: Sequence[float]) -> float:
        return sum(all_prices)

    async def numbered(arm: int) -> float:
        return 1.0

    assert problems_of(total, all_prices=each(price, over="arms")) == []
    assert problems_of(all_prices=each(lookup(prices, key="arms"), over="arms")) == []
    (told_so,) = problems_of(all_prices=each(price, over="arms"), f=node("all_prices", list[str]))
    assert told_so.endswith("gives list[float]")
    (told_so,) = problems_of(all_prices=each(numbered, over="arms"))
    assert "takes arm: int from each of 'arms', but 'arms' at" in told_so
    for over in ("age", "user"):
        (told_so,) = problems_of(all_prices=each(price, over=over))
        assert f"goes over {over!r}, which must be a sequence, but {over!r} at" in told_so


@pytest.mark.parametrize("value", ["none", None, 1j, [0.5]])
def test_a_fallback_value_of_the_wrong_type_is_refused(value):
    """(6) It would stand in for a float."""

    @fetch(fallback=value)
    async def live(user: str) -> float:
        return 1.0

    (told_so,) = problems_of(live)
    assert f"the fallback of 'live' at {__file__}" in told_so
    assert told_so.endswith(f"is {value!r}, but 'live' gives float")


def test_a_fallback_function_is_checked_by_what_it_says_it_returns():
    """(6) And it must be callable with the error alone."""

    def as_text(error: BaseException) -> str:
        return "no"

    def as_int(error: BaseException) -> int:
        return 0

    def unsaid(error):
        return "who knows"

    def of_nothing() -> float:
        return 0.0

    def fetched(fallback):
        @fetch(fallback=fallback)
        async def live(user: str) -> float:
            return 1.0

        return live

    (told_so,) = problems_of(live=fetched(as_text))
    assert "is the function at" in told_so
    assert told_so.endswith("which gives str, but 'live' gives float")
    assert problems_of(live=fetched(as_int)) == problems_of(live=fetched(unsaid)) == []
    assert problems_of(live=fetched(lambda error: "no")) == []
    assert "cannot be called with the error alone" in problems_of(live=fetched(of_nothing))[0]


def test_fallbacks_of_batches_and_bodies_are_those_of_one_key_and_one_element():
    """(6) Not of the mapping, not of the list."""

    @batch(fallback={})
    async def wrong(ids: Sequence[str]) -> Mapping[str, float]:
        return {}

    @fetch(fallback=[])
    async def price(arm: str) -> float:
        return 1.0

    assert problems_of(p=lookup(prices, key="user")) == []
    assert problems_of(p=lookup(wrong, key="user"))[0].endswith("is {}, but 'p' gives float")
    assert problems_of(p=each(price, over="arms"))[0].endswith("is [], but 'p' gives float")
