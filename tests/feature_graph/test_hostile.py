"""What functions raise and give that no reasonable function would: contained, and told as what it is."""

from __future__ import annotations

import asyncio
import dataclasses
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, TypedDict

import pytest

from feature_graph import (
    ElementFailed,
    Graph,
    KeyMissing,
    NoValue,
    Outcome,
    ResolutionError,
    StandIn,
    Status,
    batch,
    branch,
    each,
    fetch,
    lookup,
)
from feature_graph.guards import Cache, Retry
from tests.feature_graph.virtual_time import run


class Given(TypedDict, total=False):
    x: Any
    items: Any


@pytest.fixture(params=["resolve", "resolve_in_order"])
def resolve(request):
    def go(graph, goals, given=None, **options):
        return run(lambda: getattr(graph, request.param)(goals, given={"x": 1, **(given or {})}, **options))

    return go


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    """Takes no attribute, not even its traceback from Python code."""

    message: str


class Mute(Exception):
    """Has no text."""

    def __str__(self):
        raise RuntimeError("no text")

    __repr__ = __str__


class Odd(BaseException):
    """Not an Exception."""


def raising(error):
    async def fetched(x):
        raise error

    return fetched


# ---------------------------------------------------------------------- errors


def test_an_error_that_takes_no_attribute_is_a_failure_like_any_other(resolve):
    """(36) A frozen dataclass: what we set on it must not be another error, for which a run would hang."""
    error = Frozen("frozen")

    def falls_back(before):
        raise Frozen("again")

    def derived(x):
        raise error

    nodes = {
        "plain": raising(error),
        "retried": fetch(retry=Retry(on=Frozen, attempts=2))(raising(error)),
        "hedged": fetch(hedge=0.5, idempotent=True)(raising(error)),
        "cached": fetch(cache=Cache(1, key="x"))(raising(error)),
        "several": each(raising(error), over="items", element="x"),
    }
    graph = Graph(Given, derived, fell=fetch(fallback=falls_back)(raising(error)), **nodes)
    found = resolve(graph, list(graph), {"items": [1]}, deadline=5)
    assert set(found.statuses.values()) == {"failed"}
    assert {name: found.outcomes[name].error for name in (*nodes, "derived") if name != "several"} == {
        name: error for name in (*nodes, "derived") if name != "several"
    }
    assert found.outcomes["several"].error.__cause__ is error
    assert found.outcomes["fell"].error.__context__ is error


def test_an_error_without_text_is_told_by_its_type(resolve):
    """(36) Whoever reads the outcome gets our words and never the error of its text."""

    def derived(x):
        raise Mute

    graph = Graph(
        Given,
        derived,
        fetched=raising(Mute()),
        many=each(raising(Mute()), over="items", element="x"),
        many_derived=each(derived, over="items", element="x"),
    )
    found = resolve(graph, list(graph), {"items": [1]})
    for name in graph:
        assert "Mute" in found.outcomes[name].describe()
        with pytest.raises(NoValue, match="Mute"):
            found[name]
    assert isinstance(found.outcomes["many"].error, ElementFailed)
    assert isinstance(found.outcomes["many_derived"].error, ElementFailed)
    with pytest.raises(ResolutionError, match="Mute"):
        resolve(graph, "fetched", required=True)


def test_an_element_that_raises_what_is_no_exception_has_failed_alone(resolve):
    """(36, 52) The others have their values."""

    async def odd(item):
        await asyncio.sleep(1)
        if item == 2:
            raise Odd
        return item

    @fetch(fallback=0)
    async def odd_or_zero(item):
        return await odd(item)

    def odd_derived(item):
        raise Odd

    graph = Graph(
        Given,
        many=each(odd_or_zero, over="items"),
        strict=each(odd, over="items"),
        derived=each(odd_derived, over="items"),
    )
    found = resolve(graph, list(graph), {"items": [1, 2, 3]})
    assert found["many"] == [1, 0, 3]
    for name in ("strict", "derived"):
        assert isinstance(found.outcomes[name].error, ElementFailed)
        assert isinstance(found.outcomes[name].error.__cause__, Odd)


# ---------------------------------------------------------------------- values


class Lazy(Mapping):
    """Asks for its values when they are read, and then cannot have them."""

    def __getitem__(self, key):
        raise OSError("connection closed")

    def __contains__(self, key):
        return True

    def __iter__(self):
        return iter(())

    def __len__(self):
        return 0


class Closed(Lazy):
    def __contains__(self, key):
        raise OSError("connection closed")


class Nameless:
    def __repr__(self):
        raise ValueError("no words")


@pytest.mark.parametrize("answer", [Lazy(), Closed()], ids=["lazy", "closed"])
def test_a_mapping_that_cannot_be_read_fails_its_keys_and_holds_up_nobody(resolve, answer):
    """(49) No deadline: a run that waits for such a batch must still end."""

    @batch()
    async def rows(keys):
        return answer

    outcome = resolve(Graph(Given, row=lookup(rows, key="x")), "row").outcomes["row"]
    assert (outcome.status, type(outcome.error)) == (Status.FAILED, OSError)


def test_a_missing_key_that_has_no_text_has_failed(resolve):
    """(49)"""

    @batch()
    async def rows(keys):
        return {}

    outcome = resolve(Graph(Given, row=lookup(rows, key="x")), "row", {"x": Nameless()}).outcomes["row"]
    assert outcome.status is Status.FAILED


def test_a_default_dictionary_lacks_the_keys_that_it_does_not_hold(resolve):
    """(49) What it would make up was not observed, and asking must not put it in."""
    made_up = defaultdict(int)

    @batch()
    async def rows(keys):
        return made_up

    outcome = resolve(Graph(Given, row=lookup(rows, key="x")), "row").outcomes["row"]
    assert isinstance(outcome.error, KeyMissing)
    assert not made_up


class Thing:
    def __eq__(self, other):
        raise RuntimeError("values are not compared")

    def __bool__(self):
        raise RuntimeError("values are not asked for their truth")

    __hash__ = None


def test_values_are_handed_on_and_neither_compared_nor_asked_for_their_truth(resolve):
    """(17) Arrays and frames are such values; only a branch asks its condition."""

    async def fetched(x):
        return Thing()

    def derived(fetched, x):
        return fetched

    graph = Graph(Given, fetched, derived, many=each(fetched, over="items", element="x"))
    found = resolve(graph, list(graph), {"x": Thing(), "items": [Thing()]})
    assert set(found.statuses.values()) == {"ok"}
    assert found.degraded("derived") == ()
    assert set(found.settled) == set(graph)
    branched = Graph(Given, side=branch("x", then="x", otherwise="x"))
    assert resolve(branched, "side", {"x": Thing()}).outcomes["side"].status is Status.FAILED


class Reply:
    """As of an HTTP client whose ``get`` is a plain function."""

    def __await__(self):
        yield


def test_whatever_can_be_awaited_is_no_value_of_a_derived_node(resolve):
    """(10) Not only coroutines: clients return objects of their own; and so in each element."""

    async def inner():
        return 1

    graph = Graph(
        Given,
        own=lambda x: Reply(),
        future=lambda x: asyncio.get_running_loop().create_future(),
        many=each(lambda item: inner(), over="items"),
        many_own=each(lambda item: Reply(), over="items"),
        fine=lambda x: (each for each in "ab"),
    )
    found = resolve(graph, list(graph), {"items": [1]})
    assert found.statuses == {
        "own": "failed",
        "future": "failed",
        "many": "failed",
        "many_own": "failed",
        "fine": "ok",
    }
    for name in ("own", "future", "many", "many_own"):
        assert "declare it async def" in found.outcomes[name].describe()


def test_an_iterator_is_no_sequence(resolve):
    """Its first reader would leave an empty list to the second, and each run its own."""
    graph = Graph(
        Given,
        lines=lambda x: iter([1, 2]),
        one=each(lambda item: item, over="lines"),
        two=each(lambda item: item, over="lines"),
    )
    found = resolve(graph, ["one", "two"])
    assert set(found.statuses.values()) == {"failed"}
    assert "legal: a sequence" in found.outcomes["two"].describe()


def test_elements_that_cannot_be_counted_fail_the_list(resolve):
    class Broken:
        def __iter__(self):
            raise OSError("closed")

    graph = Graph(Given, many=each(lambda item: item, over="items"))
    assert resolve(graph, "many", {"items": Broken()}).statuses == {"many": "failed"}


def test_a_stand_in_is_taken_out_of_whatever_it_is_wrapped_in(resolve):
    """No consumer sees one: not in another, not as a subclass, not from a fallback."""

    class Own(StandIn):
        pass

    async def nested(x):
        return StandIn(StandIn(5, KeyError("inner")), KeyError("outer"))

    async def derived_class(x):
        return Own(6)

    @fetch(fallback=lambda error: StandIn(7))
    async def falls_back(x):
        raise KeyError

    graph = Graph(Given, nested, derived_class, falls_back, many=each(nested, over="items", element="x"))
    found = resolve(graph, list(graph), {"items": [1]})
    assert found.values == {"nested": 5, "derived_class": 6, "falls_back": 7, "many": [5]}
    assert set(found.statuses.values()) == {"fallback"}


# ---------------------------------------------------------------------- runs


@pytest.mark.parametrize("status", [Status.NOT_NEEDED, Status.CANCELLED, Status.FAILED])
def test_a_required_goal_behind_an_outcome_without_error_is_missed_all_the_same(resolve, status):
    """Promise 2: handed in without a value and without a reason, it is still no value."""
    graph = Graph(Given, first=lambda x: x, goal=lambda first: first)
    for goal in ("goal", "first"):
        with pytest.raises(ResolutionError, match=f"the required goal '{goal}' has no value"):
            resolve(graph, goal, {"first": Outcome(status)}, required=True)


def test_a_run_without_an_end_is_drawn():
    """A deadline of for ever is none."""
    graph = Graph(Given, fetched=fetch(timeout=1e12)(raising(KeyError())))
    found = run(lambda: graph.resolve("fetched", given={"x": 1}, deadline=float("inf")))
    assert "fetched" in found.waterfall(20)
