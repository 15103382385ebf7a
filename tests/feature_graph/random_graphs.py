"""Graphs with every kind of node and every kind of trouble, drawn by Hypothesis; always without cycles."""

from __future__ import annotations

import asyncio
import inspect
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, TypedDict

from hypothesis import strategies as st

from feature_graph import Graph, Outcome, TransientError, batch, branch, each, fetch, first_of, lookup
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
        await _trouble(behaviour, name)
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


def _batch(draw, bad):
    """Answers all keys but those that leave the drawn remainder; or is in trouble as a whole.

    No key is to blame for that: runs side by side would ask for each once more, which takes time.
    """
    behaviour = draw(st.sampled_from(["ok"] * 3 + bad))
    latency_s, missing = draw(st.integers(0, 6)), draw(st.integers(0, 9)) if bad else -1

    @batch(max=draw(st.integers(1, 3)), timeout=draw(st.integers(0 if bad else 7, 8)) + 0.5)
    async def stock(keys):
        if latency_s:
            await asyncio.sleep(latency_s)
        await _trouble(behaviour, "stock", TransientError)
        return {key: _fingerprint("stock", [key]) for key in keys if _fingerprint("", [key]) % 5 != missing}

    return stock


def _elements(source):
    """A node that makes a list of what another one gave, an empty one too."""

    def elements(value):
        return [_fingerprint("element", [value, place]) for place in range(_fingerprint("", [value]) % 4)]

    elements.__signature__ = _signature([(source, "hard")])
    return elements


def _body(draw, name, bad, stock):
    kind = draw(st.sampled_from(["fetch", "derived", "lookup"]))
    if kind == "lookup":
        return lookup(stock, key="element")
    behaviour = draw(st.sampled_from(["ok"] * 3 + [b for b in bad if kind == "fetch" or b == "raise"]))
    every, latency_s = draw(st.integers(1, 3)), draw(st.integers(0, 6))

    def derived(element):
        if behaviour == "raise" and element % every == 0:
            raise ValueError(name)
        return _fingerprint(name, [element])

    async def fetched(element):
        if latency_s:
            await asyncio.sleep(latency_s)
        if element % every == 0:
            await _trouble(behaviour, name)
        return _fingerprint(name, [element])

    timeout_s = draw(st.integers(0 if bad else 7, 8)) + 0.5
    return derived if kind == "derived" else fetch(timeout=timeout_s, **_fallback(draw, name))(fetched)


async def _trouble(behaviour, name, error=ValueError):
    if behaviour == "raise":
        raise error(name)
    if behaviour == "hang":
        await never()
    if behaviour == "cancel":
        raise asyncio.CancelledError


@st.composite
def cases(draw, *, trouble: bool = True, looked_up: bool = False):
    """A graph of up to sixteen nodes over two inputs, some goals, and some nodes handed in.

    ``looked_up``: all that is fetched is, each node from a batch of its own.
    """
    calls: Counter[str] = Counter()
    known = ["i0", "i1"]
    nodes: dict[str, Any] = {}
    bad = ["raise", "hang", "cancel"] if trouble else []
    kinds = ["fetch"] * 4 + ["derived"] * 3 + ["branch"] * 2 + ["first_of", "lookup", "each"]
    if looked_up:
        kinds = ["derived"] * 3 + ["branch"] * 2 + ["lookup"] * 3
    stock = _batch(draw, bad)
    for number in range(draw(st.integers(2, 16))):
        name = f"n{number}"
        kind = draw(st.sampled_from(kinds))
        # So that nodes share what they need, and trouble travels; or stand in a row.
        near = st.sampled_from(known[-2:] if looked_up else known[-7:])
        some = st.lists(near, unique=True, min_size=min(number, 1), max_size=4)
        if kind == "branch":
            condition, then, otherwise = draw(near), draw(near), draw(near)
            nodes[name] = branch(condition, then=then, otherwise=otherwise)
        elif kind == "first_of":
            nodes[name] = first_of(*(draw(some) or ["i0"]))
        elif kind == "lookup":
            nodes[name] = lookup(_batch(draw, bad) if looked_up else stock, key=draw(near))
        elif kind == "each":
            nodes[f"{name}s"] = _elements(draw(near))
            nodes[name] = each(_body(draw, name, bad, stock), over=f"{name}s")
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
