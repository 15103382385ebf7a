"""Types along the edges: what is certainly wrong is refused with both places, all else is let through."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from typing import Any

import pytest

from feature_graph import BadRun, Graph, NoValue, branch, wire
from feature_graph.edge_types import type_problems
from tests.feature_graph.typed_nodes import Given, node, problems_of, score, text, user_id


def test_one_sentence_names_both_places_and_both_types():
    """(5) Who takes what where, who gives what where."""

    def risk(text: float) -> float:
        return text

    (told_so,) = problems_of(text, risk)

    here, there = r"\S*test_edge_types\.py:\d+", r"\S*typed_nodes\.py:\d+"
    assert re.fullmatch(rf"'risk' at {here} takes text: float, but 'text' at {there} gives str", told_so)


def test_an_input_is_placed_by_its_typed_dict():
    """(5) Inputs are edges like all others."""

    def risk(user: float) -> float:
        return user

    (told_so,) = problems_of(risk)
    assert told_so.endswith(
        "takes user: float, but 'user' at tests.feature_graph.typed_nodes.Given gives str"
    )


def test_all_problems_are_told_at_once():
    """Two wrong edges of one node, and one of another."""

    def f(text: int, score: str) -> int:
        return 1

    def g(f: str) -> str:
        return f

    assert len(problems_of(text, score, f, g)) == 3


def test_two_classes_of_one_name_are_told_apart():
    """A message that says X is no X helps nobody."""
    other = type("Http", (), {"__module__": "elsewhere"})
    (told_so,) = problems_of(f=node("http", other))
    assert "takes http: Http, but" in told_so
    assert "typed_nodes.Http" in told_so


def test_five_thousand_nodes_are_checked_in_no_time():
    """Far below what reading the functions takes; the clock here is that of this process alone."""

    def make(place: int) -> Callable[..., Any]:
        def f(value: float, user: str) -> float:
            return value

        return f

    named = {
        f"n{place}": wire(make(place), value=f"n{place - 1}" if place else "age") for place in range(5_000)
    }
    graph = Graph(Given, **named)
    began = time.process_time()
    assert type_problems(graph.nodes, Given) == []
    assert time.process_time() - began < 2.0


def test_a_chain_of_ten_thousand_branches_is_read_without_recursion():
    """Each gives what all before it do."""
    nodes = {"b0": branch("user", then="age", otherwise="text")}
    for place in range(1, 10_000):
        nodes[f"b{place}"] = branch("user", then=f"b{place - 1}", otherwise="age")
    (told_so,) = problems_of(text, f=node("b9999", int), **nodes)
    assert "may give str, from 'text'" in told_so


def test_a_value_is_read_by_its_function():
    """Under its own name, under another one; what is no node or several is refused; no value says why."""

    def one(user: str) -> int:
        return 1

    def two(user: str) -> int:
        return 2

    def fails(user: str) -> int:
        raise ValueError(user)

    graph = Graph(
        Given,
        one,
        fails,
        other=two,
        a=wire(score, user="user"),
        b=wire(score, user="maybe_not"),
        maybe_not=text,
    )
    found = asyncio.run(graph.resolve(list(graph), given={"user": "u"}))
    assert (found.value_of(one), found.value_of(two)) == (1, 2)
    with pytest.raises(NoValue, match="'fails' has no value"):
        found.value_of(fails)
    with pytest.raises(BadRun, match="no node of this graph is it"):
        found.value_of(user_id)
    with pytest.raises(BadRun, match="it is 'a', 'b'"):
        found.value_of(score)
