"""Failure in both engines: contained, named by its root, absorbed where somebody said how."""

from __future__ import annotations

import asyncio

import pytest

from feature_graph import (
    FetchCancelled,
    Graph,
    NotAValue,
    NoValue,
    Outcome,
    ResolutionError,
    Status,
    branch,
    fetch,
    first_of,
)
from tests.feature_graph.noting import Given


def test_raising_before_and_after_the_first_suspension_is_the_same(resolve):
    """(31)"""

    async def at_once(x):
        raise ValueError("at once")

    async def later(x):
        await asyncio.sleep(1)
        raise ValueError("later")

    found = resolve(Graph(Given, at_once, later), ["at_once", "later"])
    assert [found.outcomes[name].describe() for name in ("at_once", "later")] == [
        "failed at 'at_once' (ValueError: at once)",
        "failed at 'later' (ValueError: later)",
    ]


def test_the_last_of_a_chain_of_ten_names_the_first_as_root(resolve, calls):
    """(32)"""
    chain = {f"n{i}": eval(f"lambda n{i - 1}: 1") for i in range(1, 10)}
    found = resolve(Graph(Given, n0=calls.error("n0"), **chain), "n9")
    assert found.outcomes["n9"].root == "n0"
    assert {found.outcomes[f"n{i}"].status for i in range(1, 10)} == {Status.UPSTREAM_FAILED}
    with pytest.raises(NoValue, match="'n9' has no value: upstream_failed at 'n0'") as unread:
        found["n9"]
    assert isinstance(unread.value.__cause__, KeyError)
    assert found.get("n9", 4) == 4


def test_a_default_absorbs_a_failure_and_an_outcome_parameter_sees_it(resolve, calls):
    """(33)"""

    def seen(a: Outcome[int], x: int) -> tuple:
        return a.status, a.root, x

    def kept(*, a=0, b: Outcome[int]) -> tuple:
        return a, b.value

    graph = Graph(
        Given, seen, kept, a=calls.error("a"), b=calls.value("b", 2), absorbed=lambda x, a=3: (x, a)
    )
    found = resolve(graph, ["seen", "kept", "absorbed"])
    assert found.values == {"seen": (Status.FAILED, "a", 1), "kept": (0, 2), "absorbed": (1, 3)}
    assert found.degraded("absorbed") == ("a",)
    assert found.degraded("b") == ()


def test_fallbacks_are_a_value_or_a_function_of_the_error(resolve, calls):
    """(34) The reason is kept; one that raises is a failure that holds both errors."""

    def broken(error):
        raise RuntimeError("no fallback either")

    graph = Graph(
        Given,
        value=calls.error("value", fallback=None),
        function=calls.error("function", fallback=lambda error: f"not {error.args[0]}"),
        broken=calls.error("broken", fallback=broken),
        fine=calls.value("fine", 1, fallback=2),
    )
    found = resolve(graph, ["value", "function", "broken", "fine"])
    assert found.values == {"value": None, "function": "not function", "fine": 1}
    assert found.statuses == {"value": "fallback", "function": "fallback", "broken": "failed", "fine": "ok"}
    assert isinstance(found.outcomes["value"].error, KeyError)
    failure = found.outcomes["broken"].error
    assert (type(failure), type(failure.__context__)) == (RuntimeError, KeyError)


def test_a_fallback_also_covers_what_the_fetch_needs(resolve, calls):
    """The feature has no value, whatever the reason; the root says where that began."""

    @fetch(fallback=0.0)
    async def balance(account):
        return 1.0

    found = resolve(Graph(Given, balance, account=calls.error("account")), "balance")
    assert found.outcomes["balance"].status is Status.FALLBACK
    assert found.outcomes["balance"].root == "account"


def test_a_fallback_stays_one_on_its_way_through_branches(resolve, calls):
    """A policy must not be told that a stand-in was observed."""
    graph = Graph(
        Given,
        a=calls.error("a", fallback=1),
        b=branch("x", then="a", otherwise="x"),
        c=first_of("b", "x"),
        d=lambda c: c,
    )
    found = resolve(graph, ["b", "c", "d"])
    assert found.statuses == {"b": "fallback", "c": "fallback", "d": "ok"}
    assert found.outcomes["c"].root == "a"
    assert found.degraded("d") == ("a",)


class Bare(Exception):
    """Takes nothing."""

    def __init__(self):
        super().__init__()


class Odd(BaseException):
    """Not an Exception."""


SHARED = ValueError("used by two")


@pytest.mark.parametrize(
    "error",
    [
        Bare(),
        Odd("odd"),
        ExceptionGroup("several", [ValueError(1)]),
        SHARED,
        GeneratorExit(),
        TimeoutError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_whatever_a_node_raises_is_contained(resolve, calls, error):
    """(36) In a fetch, in a derived node, and in two at once."""

    def derived(x):
        raise error

    graph = Graph(Given, derived, a=calls.error("a", error), b=calls.error("b", error), c=lambda x: "fine")
    found = resolve(graph, ["a", "b", "derived", "c"])
    assert found.values == {"c": "fine"}
    assert {found.outcomes[name].error for name in ("a", "b", "derived")} == {error}
    assert {found.outcomes[name].status for name in ("a", "b", "derived")} == {Status.FAILED}


def test_stop_iteration_is_an_error_like_any_other(resolve, calls):
    """(36) Python itself turns it into a RuntimeError inside a coroutine."""

    def derived(x):
        raise StopIteration(1)

    found = resolve(Graph(Given, derived, a=calls.error("a", StopIteration(1))), ["a", "derived"])
    assert isinstance(found.outcomes["a"].error, RuntimeError)
    assert isinstance(found.outcomes["derived"].error, StopIteration)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_interrupts_pass_through(resolve, error):
    """The person at the keyboard is no failing feature."""

    def derived(x):
        raise error

    with pytest.raises(error):
        resolve(Graph(Given, derived), "derived")


def test_tracebacks_begin_in_the_nodes_own_code(resolve):
    """(38) And reading a failed goal twice does not lengthen them."""

    async def broken(x):
        await asyncio.sleep(0)
        return 1 / x

    found = resolve(Graph(Given, broken, derived=lambda x: 1 / x), ["broken", "derived"], {"x": 0})
    for name in ("broken", "derived"):
        error = found.outcomes[name].error
        for _ in range(2):
            with pytest.raises(NoValue):
                found[name]
        frames = []
        trace = error.__traceback__
        while trace is not None:
            frames.append(trace.tb_frame.f_code.co_filename)
            trace = trace.tb_next
        assert frames[-1] == __file__
        assert len(frames) <= 2


def test_a_fetch_that_cancels_itself_is_cancelled_and_no_crash(resolve):
    """(42)"""

    async def suicidal(x):
        asyncio.current_task().cancel()
        await asyncio.sleep(1)

    async def bystander(x):
        await asyncio.sleep(2)
        return "alive"

    found = resolve(
        Graph(Given, suicidal, bystander, after=lambda suicidal: 1), ["suicidal", "bystander", "after"]
    )
    assert found.statuses == {"suicidal": "cancelled", "bystander": "ok", "after": "upstream_failed"}
    assert isinstance(found.outcomes["after"].error, FetchCancelled)


def test_a_derived_node_that_returns_an_awaitable_fails_and_says_why(resolve):
    """(10) It should have been async; awaiting it in the queue would hold up everybody."""

    async def inner():
        return 1

    found = resolve(Graph(Given, lazy=lambda x: inner()), "lazy")
    assert isinstance(found.outcomes["lazy"].error, NotAValue)
    assert "declare it async def" in str(found.outcomes["lazy"].error)


def test_a_required_goal_that_fails_raises_with_all_that_was_found(resolve, calls):
    """One error that names goal, root and cause, the partial resolution attached; never a group."""
    graph = Graph(Given, quick=lambda x: x, bad=calls.error("bad"), after=lambda bad: bad)
    with pytest.raises(ResolutionError, match=r"the required goal 'after' .* at 'bad' .KeyError") as failed:
        resolve(graph, ["quick", "after"], required=["after"])
    assert failed.value.goal == "after"
    assert failed.value.resolution["quick"] == 1
    assert isinstance(failed.value.__cause__, KeyError)
    with pytest.raises(ResolutionError):
        resolve(graph, ["quick", "after"], required=True)
    assert resolve(graph, ["quick", "after"], required=["quick"]).statuses["after"] == "upstream_failed"
