"""One suite over both engines: the reference defines what is right, the concurrent one must do the same.

Numbers in docstrings are those of the list of edge cases that this package is built against. Of that list
the following wait for the parts they are about: types along edges and of fallbacks (5, 6), a loop blocked by
a derived node named as such (30), retry, hedge and batch (45-49), ``each`` (52), the benchmark's load with a
leak check (51).
"""

from __future__ import annotations

import asyncio
from typing import TypedDict

import pytest

from feature_graph import (
    DeadlinePassed,
    FetchCancelled,
    FetchTimedOut,
    Graph,
    NotAValue,
    NoValue,
    Outcome,
    ResolutionError,
    Status,
    branch,
    fetch,
    first_of,
    remaining,
)
from tests.feature_graph.virtual_time import never, run


class Given(TypedDict, total=False):
    x: int
    flag: object


@pytest.fixture(params=["resolve", "resolve_in_order"])
def resolve(request):
    """Resolve with one of the engines on virtual time, and leave nothing behind."""

    def go(graph, goals, given=None, **options):
        return run(lambda: getattr(graph, request.param)(goals, given={"x": 1, **(given or {})}, **options))

    return go


class Calls:
    """Nodes that note that they were called."""

    def __init__(self) -> None:
        self.made: list[str] = []

    def value(self, name, value, **options):
        async def node(x):
            self.made.append(name)
            await asyncio.sleep(0)
            return value

        return fetch(**options)(node)

    def error(self, name, error=None, **options):
        async def node(x):
            self.made.append(name)
            await asyncio.sleep(0)
            raise KeyError(name) if error is None else error

        return fetch(**options)(node)

    def hang(self, name, **options):
        async def node(x):
            self.made.append(name)
            await never()

        return fetch(**options)(node)


@pytest.fixture
def calls():
    return Calls()


# ---------------------------------------------------------------------- demand


def test_a_node_outside_the_goals_never_runs(resolve, calls):
    """(11)"""
    graph = Graph(Given, a=calls.value("a", 1), b=calls.value("b", 2))
    found = resolve(graph, "a")
    assert found["a"] == 1
    assert calls.made == ["a"]
    assert found.outcomes["b"].status is Status.NOT_NEEDED


@pytest.mark.parametrize(("flag", "taken", "left"), [(True, "a", "b"), (0, "b", "a"), ("", "b", "a")])
def test_the_untaken_side_never_starts_nor_its_private_ancestors(resolve, calls, flag, taken, left):
    """(12)"""
    graph = Graph(
        Given,
        before_a=calls.value("before_a", 1),
        before_b=calls.value("before_b", 2),
        a=lambda before_a: before_a,
        b=lambda before_b: before_b,
        c=branch("flag", then="a", otherwise="b"),
    )
    found = resolve(graph, "c", {"flag": flag})
    assert calls.made == [f"before_{taken}"]
    assert found.outcomes["c"] == Outcome(Status.OK, 1 if taken == "a" else 2, via=taken)
    assert found.outcomes[left].status is found.outcomes[f"before_{left}"].status is Status.NOT_NEEDED


def test_a_node_shared_by_both_sides_and_the_condition_runs_once(resolve, calls):
    """(13)"""
    graph = Graph(
        Given,
        s=calls.value("s", 5),
        condition=lambda s: s > 3,
        a=lambda s: s + 1,
        b=lambda s: s - 1,
        c=branch("condition", then="a", otherwise="b"),
    )
    assert resolve(graph, ["c", "s"]).values == {"c": 6, "s": 5}
    assert calls.made == ["s"]


def test_nested_branches_and_a_branch_as_a_condition(resolve, calls):
    """(14)"""
    graph = Graph(
        Given,
        yes=lambda x: True,
        no=lambda x: False,
        inner=branch("no", then="dear", otherwise="yes"),
        dear=calls.value("dear", 9),
        outer=branch("inner", then="second", otherwise="dear"),
        second=branch("inner", then="no", otherwise="dear"),
    )
    found = resolve(graph, "outer")
    assert found["outer"] is False
    assert calls.made == []


def test_a_failing_condition_fails_the_branch_and_starts_neither_side(resolve, calls):
    """(15)"""
    graph = Graph(
        Given,
        condition=calls.error("condition"),
        a=calls.value("a", 1),
        b=calls.value("b", 2),
        c=branch("condition", then="a", otherwise="b"),
    )
    found = resolve(graph, "c")
    assert found.outcomes["c"].status is Status.UPSTREAM_FAILED
    assert found.outcomes["c"].root == "condition"
    assert calls.made == ["condition"]


def test_a_condition_without_truth_fails_the_branch(resolve):
    """An array, say, says neither yes nor no."""

    class Neither:
        def __bool__(self):
            raise ValueError("ambiguous")

    graph = Graph(Given, c=branch("flag", then="x", otherwise="x"))
    outcome = resolve(graph, "c", {"flag": Neither()}).outcomes["c"]
    assert (outcome.status, outcome.root, str(outcome.error)) == (Status.FAILED, "c", "ambiguous")


@pytest.mark.parametrize("value", [0, False, None, "", []])
def test_first_of_goes_by_outcome_and_not_by_truth(resolve, calls, value):
    """(16)"""
    graph = Graph(
        Given, a=calls.error("a"), b=calls.value("b", value), c=calls.value("c", 3), d=first_of("a", "b", "c")
    )
    found = resolve(graph, "d")
    assert found.outcomes["d"] == Outcome(Status.OK, value, via="b")
    assert calls.made == ["a", "b"]
    assert found.degraded("d") == ("d",)


def test_first_of_with_no_value_at_all_names_its_first_choice(resolve, calls):
    """(16)"""
    graph = Graph(Given, a=calls.error("a"), b=calls.error("b"), c=lambda b: b, d=first_of("a", "c"))
    outcome = resolve(graph, "d").outcomes["d"]
    assert (outcome.status, outcome.root, str(outcome.error)) == (Status.UPSTREAM_FAILED, "a", "'a'")


@pytest.mark.parametrize("value", [7, None])
def test_a_given_value_prunes_all_that_is_behind_it(resolve, calls, value):
    """(17) None is a value."""
    graph = Graph(Given, a=calls.value("a", 1), b=lambda a: a, c=lambda b: [b])
    found = resolve(graph, "c", {"b": value})
    assert found["c"] == [value]
    assert calls.made == []
    assert found.outcomes["b"] == Outcome(Status.GIVEN, value)


def test_a_given_side_does_not_force_that_side(resolve, calls):
    """(18)"""
    graph = Graph(
        Given, a=calls.value("a", 1), b=calls.value("b", 2), c=branch("flag", then="a", otherwise="b")
    )
    assert resolve(graph, "c", {"a": 10, "flag": False})["c"] == 2
    assert resolve(graph, "c", {"a": 10, "flag": True}).outcomes["c"] == Outcome(Status.OK, 10, via="a")
    assert calls.made == ["b"]


def test_a_diamond_and_a_hundred_consumers_run_what_they_share_once(resolve, calls):
    """(19, 20)"""
    consumers = {f"c{i}": eval(f"lambda shared: shared + {i}") for i in range(100)}
    graph = Graph(
        Given,
        shared=calls.value("shared", 1),
        **consumers,
        sum=eval(f"lambda {', '.join(consumers)}: c0 + c99"),
    )
    assert resolve(graph, ["sum", *consumers])["sum"] == 1 + 100
    assert calls.made == ["shared"]


# ---------------------------------------------------------------------- time


def test_a_node_times_out_while_its_siblings_go_on(resolve, calls):
    """(24)"""

    async def slow(x):
        await asyncio.sleep(5)
        return "slow"

    graph = Graph(Given, slow, hung=calls.hang("hung", timeout=0.05), after=lambda hung: hung)
    found = resolve(graph, ["slow", "hung", "after"])
    assert found.values == {"slow": "slow"}
    assert found.statuses == {"slow": "ok", "hung": "timed_out", "after": "upstream_failed"}
    assert isinstance(found.outcomes["hung"].error, FetchTimedOut)
    assert isinstance(found.outcomes["hung"].error, TimeoutError)
    assert "'hung' took longer than 0.05 s" in str(found.outcomes["after"].error)


@pytest.mark.parametrize("deadline", [0, -1, 0.0])
def test_a_past_deadline_starts_no_fetch_but_derives_and_falls_back(resolve, calls, deadline):
    """(25)"""
    graph = Graph(
        Given,
        a=calls.value("a", 1),
        b=calls.value("b", 1, fallback=-1),
        c=lambda x: x + 1,
        d=lambda b: b * 2,
    )
    found = resolve(graph, ["a", "b", "c", "d"], deadline=deadline)
    assert calls.made == []
    assert found.values == {"b": -1, "c": 2, "d": -2}
    assert found.statuses == {"a": "timed_out", "b": "fallback", "c": "ok", "d": "ok"}
    assert isinstance(found.outcomes["a"].error, DeadlinePassed)
    assert found.degraded("d") == ("b",)


def test_a_deadline_shorter_than_any_node_ends_the_run(resolve, calls):
    """(25)"""
    graph = Graph(Given, a=calls.hang("a"), b=calls.hang("b", timeout=9, fallback=2), c=lambda a, b: 1)
    found = resolve(graph, ["a", "b", "c"], deadline=0.2)
    assert found.statuses == {"a": "timed_out", "b": "fallback", "c": "upstream_failed"}
    assert found.outcomes["c"].root == "a"


def test_a_fetch_sees_the_time_it_has_left(resolve):
    """(26) The smaller of its own timeout and the run's deadline; None without either."""

    @fetch(timeout=0.5)
    async def short(x):
        return remaining()

    async def open_ended(x):
        await asyncio.sleep(1)
        return remaining()

    graph = Graph(Given, short, open_ended)
    assert resolve(graph, "short", deadline=2)["short"] == pytest.approx(0.5)
    assert resolve(graph, "short", deadline=0.25)["short"] == pytest.approx(0.25)
    assert resolve(graph, "open_ended", deadline=3)["open_ended"] == pytest.approx(2)
    assert resolve(graph, "open_ended")["open_ended"] is None
    assert remaining() is None


@pytest.mark.parametrize(("asked", "had"), [(None, 0.4), (5.0, 0.4), (0.1, 0.1)])
def test_a_nested_run_inherits_the_time_that_is_left(resolve, asked, had):
    """(26) Whatever more it asks for itself."""

    async def left(x):
        return remaining()

    inner = Graph(Given, left)

    @fetch(timeout=0.5)
    async def outer(x):
        await asyncio.sleep(0.1)
        return (await inner.resolve("left", given={"x": x}, deadline=asked))["left"]

    assert resolve(Graph(Given, outer), "outer", deadline=2)["outer"] == pytest.approx(had)


# ---------------------------------------------------------------------- failure


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


# ---------------------------------------------------------------------- the record


def test_the_timeline_holds_what_began_in_order(resolve):
    """Start and end since the run began; the waterfall draws them to one scale."""

    async def first(x):
        await asyncio.sleep(1)
        return 1

    @fetch(timeout=2)
    async def second(first):
        await never()

    found = resolve(Graph(Given, first, second, third=lambda second: 1), "third")
    assert [(s.name, s.start_s, s.end_s, s.status) for s in found.timeline] == [
        ("first", 0.0, pytest.approx(1.0), "ok"),
        ("second", pytest.approx(1.0), pytest.approx(3.0), "timed_out"),
    ]
    assert found.waterfall(width=30).splitlines() == [
        "first  |██████████                    |  1000.00 ms  ok",
        "second |          ████████████████████|  2000.00 ms  timed_out",
    ]


def test_outcomes_cover_the_whole_graph(resolve, calls):
    """And the inputs that were read; a stranger is a KeyError."""
    graph = Graph(Given, a=calls.value("a", 1), b=lambda a: a, unused=lambda flag: flag)
    found = resolve(graph, "b")
    assert {name: outcome.status.value for name, outcome in found.outcomes.items()} == {
        "a": "ok",
        "b": "ok",
        "unused": "not_needed",
        "x": "given",
    }
    assert len(found.outcomes) == 4
    assert "a: ok" in repr(found.outcomes)
    assert repr(found) == "Resolution(b=ok)"
    with pytest.raises(KeyError):
        found.outcomes["nobody"]


def test_context_variables_flow_in_and_not_across(resolve):
    """(53) A fetcher sees its caller's context; what it sets nobody else sees."""
    from contextvars import ContextVar

    tenant: ContextVar[str] = ContextVar("tenant", default="none")

    async def changes(x):
        before = tenant.get()
        tenant.set("changed")
        await asyncio.sleep(0)
        return before

    async def after(changes):
        return tenant.get()

    tenant.set("caller")
    found = resolve(
        Graph(Given, changes, after, derived=lambda changes: tenant.get()), ["after", "changes", "derived"]
    )
    assert found.values == {"changes": "caller", "after": "caller", "derived": "caller"}
    assert tenant.get() == "caller"
