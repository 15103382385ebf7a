"""One suite over both engines: the reference defines what is right, the concurrent one must do the same.

``test_engine_time.py`` and ``test_engine_failures.py`` go on with it. Numbers in docstrings are those of the
list of edge cases that this package is built against. Of that list the following are tested where the parts
are that they are about: types along edges and of fallbacks (5, 6), a loop blocked by a derived node named as
such (30), retry, hedge and batch (45-49), ``each`` (52), the benchmark's load with a leak check (51).
"""

from __future__ import annotations

import asyncio

import pytest

from feature_graph import Graph, Outcome, Status, branch, fetch, first_of
from tests.feature_graph.noting import Given
from tests.feature_graph.virtual_time import never


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
