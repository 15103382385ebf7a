"""Graphs with every kind of node and every kind of trouble, drawn by Hypothesis; always without cycles."""

from __future__ import annotations

import asyncio
import inspect
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, TypedDict

from hypothesis import strategies as st

from feature_graph import Graph, Outcome, branch, fetch, first_of
from tests.feature_graph.virtual_time import never


class Given(TypedDict):
    i0: int
    i1: int


@dataclass
class Case:
    """A graph and a question to it; ``calls`` counts how often each node ran."""

    graph: Graph
    goals: list[str]
    given: dict[str, Any]
    calls: Counter[str] = field(default_factory=Counter)


def _fingerprint(name: str, arguments: list[Any]) -> int:
    """A small value that tells by whom and from what it was made; odd and even about equally often."""
    seen = [(a.status.value, a.value) if isinstance(a, Outcome) else a for a in arguments]
    return sum((place + 3) * ord(c) for place, c in enumerate(f"{name}{seen}")) % 1009


def _signature(parameters: list[tuple[str, str]]) -> inspect.Signature:
    kinds = inspect.Parameter
    ordered = sorted(parameters, key=lambda p: p[1] == "default")
    return inspect.Signature(
        [
            inspect.Parameter(
                name,
                kinds.POSITIONAL_OR_KEYWORD,
                default=-1 if mode == "default" else kinds.empty,
                annotation=Outcome if mode == "outcome" else kinds.empty,
            )
            for name, mode in ordered
        ]
    )


def _function(name, parameters, behaviour, latency_s, calls, is_async):
    def answer(arguments):
        if behaviour == "raise":
            raise ValueError(name)
        return _fingerprint(name, list(arguments))

    async def fetched(*arguments):
        calls[name] += 1
        if latency_s:
            await asyncio.sleep(latency_s)
        if behaviour == "hang":
            await never()
        if behaviour == "cancel":
            raise asyncio.CancelledError
        return answer(arguments)

    def derived(*arguments):
        calls[name] += 1
        return answer(arguments)

    function = fetched if is_async else derived
    function.__signature__ = _signature(parameters)
    function.__name__ = name
    return function


def _fallback(draw, name):
    kind = draw(st.sampled_from(["none", "none", "value", "function", "raises"]))
    if kind == "none":
        return {}
    if kind == "value":
        return {"fallback": draw(st.sampled_from([None, 0, 7]))}

    def fall_back(error):
        if kind == "raises":
            raise RuntimeError(name)
        return 13

    return {"fallback": fall_back}


@st.composite
def cases(draw, *, trouble: bool = True):
    """A graph of up to sixteen nodes over two inputs, some goals, and some nodes handed in."""
    calls: Counter[str] = Counter()
    known = ["i0", "i1"]
    nodes: dict[str, Any] = {}
    bad = ["raise", "hang", "cancel"] if trouble else []
    kinds = ["fetch"] * 4 + ["derived"] * 3 + ["branch"] * 2 + ["first_of"]
    for number in range(draw(st.integers(2, 16))):
        name = f"n{number}"
        kind = draw(st.sampled_from(kinds))
        near = st.sampled_from(known[-7:])  # so that nodes share what they need, and trouble travels
        some = st.lists(near, unique=True, min_size=min(number, 1), max_size=4)
        if kind == "branch":
            condition, then, otherwise = draw(near), draw(near), draw(near)
            nodes[name] = branch(condition, then=then, otherwise=otherwise)
        elif kind == "first_of":
            nodes[name] = first_of(*(draw(some) or ["i0"]))
        else:
            modes = st.sampled_from(["hard"] * 5 + ["default", "outcome"])
            parameters = [(source, draw(modes)) for source in draw(some)]
            behaviour = draw(
                st.sampled_from(["ok"] * 5 + [b for b in bad if kind == "fetch" or b == "raise"])
            )
            latency_s = draw(st.integers(0, 6))
            function = _function(name, parameters, behaviour, latency_s, calls, kind == "fetch")
            if kind == "fetch":
                # Half seconds against whole ones: a timeout and an answer never fall into one instant.
                least_s = 0 if trouble else 7
                timeout_s = draw(st.integers(least_s, 8)) + 0.5
                if behaviour == "hang" or draw(st.booleans()):
                    function = fetch(timeout=timeout_s, **_fallback(draw, name))(function)
            nodes[name] = function
        known.append(name)
    names = list(nodes)
    goals = draw(st.lists(st.sampled_from(names[-8:]), min_size=1, max_size=4, unique=True))
    handed_in = draw(st.lists(st.sampled_from(names), max_size=1))
    given = {"i0": draw(st.integers(0, 1)), "i1": 1, **{name: draw(st.integers(0, 1)) for name in handed_in}}
    return Case(Graph(Given, **nodes), goals, given, calls)
