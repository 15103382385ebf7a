"""What a graph is worth without one of its nodes: which goals degrade, and to what, before anything fails.

The answer is read from the declaration: fallbacks, defaults, next choices, sides of branches. It holds for
runs in which nothing else fails; ``lost`` and ``unaffected`` hold for every run. The same graph with that
node switched off (:attr:`Impact.graph`) lets a test see it happen.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from copy import copy
from dataclasses import dataclass, replace
from difflib import get_close_matches
from enum import StrEnum
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, NoReturn

from feature_graph.each import each_call
from feature_graph.errors import BadRun, SwitchedOff
from feature_graph.fates import Fate, Fates, fates_without
from feature_graph.node import MISSING, Branch, Derived, Each, Fetch, FirstOf, Lookup, Node, edges_of

if TYPE_CHECKING:
    from feature_graph.graph import Graph


class Effect(StrEnum):
    """What it means for a node; from nothing to the worst."""

    UNAFFECTED = "unaffected"
    """It never reads what is down."""
    SPARE_LOST = "spare lost"
    """Its value is the same; what it would have gone to next is down."""
    MAY_DEGRADE = "may degrade"
    """Its own value or a stand-in: a branch decides."""
    NEXT_CHOICE = "next choice"
    """A first_of goes on to a later choice."""
    DEFAULT = "default used"
    """A parameter takes its default, or is shown the failure."""
    FALLBACK = "fallback"
    """The declared fallback stands in."""
    STAND_IN = "from a stand-in"
    """It is made from a value that is not the real one."""
    MAY_BE_LOST = "may be lost"
    """With or without a value: a branch, a cache or the number of elements decides."""
    LOST = "lost"
    """It has no value."""


@dataclass(frozen=True, slots=True)
class Hit:
    """What becomes of one node."""

    effect: Effect
    value: object = MISSING
    """What stands in, where that is known."""

    def __str__(self) -> str:
        return self.effect.value if self.value is MISSING else f"{self.effect.value}: {self.value!r}"


@dataclass(frozen=True, slots=True)
class Impact:
    """A graph without one of its nodes."""

    name: str
    """What was taken away: a node, a source, or an input that fetches read."""
    down: tuple[str, ...]
    """The nodes that fail at once."""
    hits: Mapping[str, Hit]
    """By node; all of them, unless :meth:`goals` chose some."""
    towards: Mapping[str, str]
    """The next node on the way to what is down."""
    graph: Graph
    """The same graph with those nodes failing at once with :class:`SwitchedOff`, for tests."""

    def __getitem__(self, node: str) -> Hit:
        return self.hits[node]

    def goals(self, *names: str) -> Impact:
        """The same, told of some nodes only."""
        return replace(self, hits={name: self.hits[name] for name in names})

    def path(self, node: str) -> tuple[str, ...]:
        """The shortest way from the node to what is down; empty if it is unaffected."""
        if self.hits[node].effect is Effect.UNAFFECTED:
            return ()
        path = [node]
        while path[-1] in self.towards:
            path.append(self.towards[path[-1]])
        return tuple(path)

    def __str__(self) -> str:
        hit = {name: each for name, each in self.hits.items() if each.effect is not Effect.UNAFFECTED}
        rows = [(name, str(each), " <- ".join(self.path(name))) for name, each in hit.items()]
        widths = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
        lines = [f"  {name:<{widths[0]}}  {told:<{widths[1]}}  {path}".rstrip() for name, told, path in rows]
        rest = len(self.hits) - len(rows)
        return "\n".join(
            [f"without {self.name!r} ({', '.join(self.down)}):", *lines, f"  unaffected: {rest}"]
        )


def without(graph: Graph, name: str) -> Impact:
    """Which nodes degrade, and to what, if ``name`` is down.

    Args:
        graph: the graph.
        name: a node, a source (all that ask it are down), or an input (the fetches that read it are).

    Raises:
        BadRun: it is none of these.
    """
    down = tuple(node.name for node in graph.nodes.values() if _goes_down(node, name, graph.inputs))
    if not down:
        raise BadRun(_stranger(name, graph))
    fates = fates_without(graph.nodes, graph.inputs, frozenset(down))
    towards = _towards(graph.nodes, down)
    hits = {
        node.name: _hit(node, fates, node.name in down)
        if node.name in towards or node.name in down
        else Hit(Effect.UNAFFECTED)
        for node in graph.nodes.values()
    }
    return Impact(name, down, hits, towards, _switched_off(graph, down, name))


def _goes_down(node: Node, name: str, inputs: frozenset[str]) -> bool:
    if node.name == name:
        return True
    body = node.body if isinstance(node, Each) else node
    if not isinstance(body, Fetch | Lookup) or isinstance(node, Branch | FirstOf | Derived):
        return False
    source = body.options.source
    reads = name in inputs and any(parameter.node == name for parameter in node.parameters)
    return reads or (source is not None and source.name == name)


def _stranger(name: str, graph: Graph) -> str:
    if name in graph.inputs:
        return f"{name!r} is an input that no fetch reads; legal: a node, a source, an input that one reads"
    near = get_close_matches(name, (*graph.nodes, *graph.inputs), n=1, cutoff=0.5)
    hint = f"; nearest: {near[0]!r}" if near else ""
    return f"{name!r} is neither a node nor a source nor an input of this graph{hint}"


def _towards(nodes: Mapping[str, Node], down: Iterable[str]) -> dict[str, str]:
    """For every node that can read what is down: the next one on the shortest way to it."""
    readers: dict[str, list[str]] = {}
    for node in nodes.values():
        for edge in edges_of(node):
            readers.setdefault(edge.to, []).append(node.name)
    todo = deque(down)
    reached, towards = set(down), {}
    while todo:
        name = todo.popleft()
        for reader in readers.get(name, ()):
            if reader not in reached:
                reached.add(reader)
                towards[reader] = name
                todo.append(reader)
    return towards


# ---------------------------------------------------------------------- words for fates


def _hit(node: Node, fates: Mapping[str, Fates], is_down: bool) -> Hit:
    found = fates[node.name]
    if found.may_lose:
        return Hit(Effect.LOST if found.must_lose else Effect.MAY_BE_LOST)
    if Fate.STAND_IN not in found.can:
        return Hit(Effect.SPARE_LOST)
    if Fate.SAME in found.can:
        return Hit(Effect.MAY_DEGRADE)
    return Hit(_way(node, fates, is_down), found.value)


def _way(node: Node, fates: Mapping[str, Fates], is_down: bool) -> Effect:
    """How a node comes to a value that is not the real one."""
    if isinstance(node, FirstOf):
        return Effect.STAND_IN if Fate.STAND_IN in fates[node.choices[0]].can else Effect.NEXT_CHOICE
    if is_down:
        return Effect.FALLBACK
    if isinstance(node, Branch):
        return Effect.STAND_IN
    if any(parameter.hard and fates[parameter.node].may_lose for parameter in node.parameters):
        return Effect.FALLBACK
    soft = [parameter for parameter in node.parameters if not parameter.hard]
    return Effect.DEFAULT if any(fates[each.node].may_lose for each in soft) else Effect.STAND_IN


# ---------------------------------------------------------------------- the switch


def _switched_off(graph: Graph, down: Iterable[str], why: str) -> Graph:
    off = copy(graph)  # built anew from its declaration
    changed = {name: _off(graph.nodes[name], why) for name in down}
    off.nodes = MappingProxyType({**graph.nodes, **changed})
    off.recipe = graph_without, (graph, why)
    return off


def graph_without(graph: Graph, name: str) -> Graph:
    """The graph where ``name`` is down; what a copy of it is made by."""
    return without(graph, name).graph


def _off(node: Node, why: str) -> Node:
    if isinstance(node, Fetch | Lookup):
        return _off_fetch(node, why)
    if isinstance(node, Each) and not node.derived:
        assert isinstance(node.body, Fetch | Lookup)
        each = replace(node, body=_off_fetch(node.body, why))
        return replace(each, call=each_call(each))
    parameters = node.parameters if isinstance(node, Derived | Each) else ()
    return Derived(node.name, partial(_fail, node.name, why), parameters, node.place)


def _off_fetch(node: Fetch | Lookup, why: str) -> Fetch:
    fail = partial(_fail_soon, node.name, why)
    options, calls = node.options, node.fallback_calls
    return Fetch(node.name, fail, node.parameters, node.place, options, calls, fail)


async def _fail_soon(name: str, why: str, *_: object, **__: object) -> NoReturn:
    _fail(name, why)


def _fail(name: str, why: str, *_: object, **__: object) -> NoReturn:
    raise SwitchedOff(f"{name!r} is switched off: without({why!r})")
