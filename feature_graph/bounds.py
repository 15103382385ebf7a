"""How late a goal can be, from the declaration alone, and which nodes make it so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import inf, isfinite
from typing import NamedTuple

from feature_graph.cycles import is_ring, knots
from feature_graph.errors import BadRun, CannotMeet
from feature_graph.node import Branch, Derived, Each, Fetch, FirstOf, Lookup, Node, edges_of


class Wait(NamedTuple):
    """One part of the longest wait for a goal."""

    name: str
    seconds: float
    """What the node adds; for a choice or a condition that is not followed further, all that it may take."""


def worst_case_s(nodes: Mapping[str, Node], inputs: frozenset[str], goal: str) -> float:
    """Longest possible wait for a goal, in seconds, the cost of derived nodes and of the engine left out.

    A fetch takes its timeout after the slowest thing it needs, all attempts included; a lookup likewise,
    since its batch is asked as soon as the run can move no further; an each its own timeout, and without one
    that of its lookup, or for ever, since nobody knows how many elements there will be. A branch takes its
    condition and then its slower side; a first_of all its choices in a row. Nodes that need each other from
    opposite sides of a condition are bounded together, by the sum of all of them.

    Raises:
        BadRun: the goal is neither a node nor an input.
    """
    return _worst_s(nodes, inputs, goal)[goal]


def worst_path(nodes: Mapping[str, Node], inputs: frozenset[str], goal: str) -> tuple[Wait, ...]:
    """What the longest wait for a goal is made of, first to last; the seconds add up to the bound.

    Where two things are waited for in a row (a condition and a side, the choices of a first_of) the longest
    is followed to its beginning, and the others are told in one piece.

    Raises:
        BadRun: the goal is neither a node nor an input.
    """
    worst_s = _worst_s(nodes, inputs, goal)
    rings = {name: knot for knot in _knots(nodes) if len(knot) > 1 for name in knot}
    path: list[Wait] = []
    at: str | None = goal
    while at is not None and at in nodes:
        if at in rings:
            path.append(Wait(" | ".join(sorted({*rings[at]})), worst_s[at]))
            break
        row = _in_a_row(nodes[at], worst_s)
        longest = max(row, key=lambda name: worst_s[name], default=None)
        path.append(Wait(at, _own_s(nodes[at])))
        if longest is not None:
            row.remove(longest)
        path += [Wait(name, worst_s[name]) for name in reversed(row) if name in nodes]
        at = longest
    return tuple(wait for wait in reversed(path) if wait.seconds or wait.name == goal)


def check_deadline(
    nodes: Mapping[str, Node], inputs: frozenset[str], goals: Iterable[str], deadline_s: float
) -> None:
    """Refuse, when a service starts, goals whose fetches may take longer than the deadline they are to meet.

    The run would end at its deadline all the same; but a timeout that cannot be reached before it is a
    mistake in one of the two.

    Raises:
        CannotMeet: the goals, their bounds and the waits that these are made of.
        BadRun: a goal is neither a node nor an input.
    """
    late = [goal for goal in goals if worst_case_s(nodes, inputs, goal) > deadline_s]
    if late:
        lines = [_told(goal, worst_path(nodes, inputs, goal)) for goal in late]
        raise CannotMeet(f"these goals may take longer than {_ms(deadline_s)}:" + "".join(lines))


def _told(goal: str, path: tuple[Wait, ...]) -> str:
    waits = " + ".join(f"{wait.name} {_ms(wait.seconds)}" for wait in path if wait.seconds)
    return f"\n  - {goal!r}: {_ms(sum(wait.seconds for wait in path))} = {waits}"


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:g} ms" if isfinite(seconds) else "for ever (no timeout)"


def _worst_s(nodes: Mapping[str, Node], inputs: frozenset[str], goal: str) -> dict[str, float]:
    if goal not in nodes and goal not in inputs:
        raise BadRun(f"the goal {goal!r} is neither a node nor an input of this graph")
    worst_s = dict.fromkeys(inputs, 0.0)
    for knot in _knots(nodes):
        if len(knot) > 1:
            outside = {edge.to for name in knot for edge in edges_of(nodes[name])}.difference(knot)
            total_s = sum(_own_s(nodes[name]) for name in knot) + sum(worst_s[name] for name in outside)
            worst_s.update(dict.fromkeys(knot, total_s))
        else:
            node = nodes[knot[0]]
            worst_s[node.name] = _own_s(node) + sum(worst_s[name] for name in _in_a_row(node, worst_s))
    return worst_s


def _knots(nodes: Mapping[str, Node]) -> list[tuple[str, ...]]:
    edges = {name: edges_of(node) for name, node in nodes.items()}
    return [(*knot, *knot[:1]) if is_ring(edges, knot) and len(knot) == 1 else knot for knot in knots(edges)]


def _in_a_row(node: Node, worst_s: Mapping[str, float]) -> list[str]:
    """What the node waits for one after another, at worst; of what it waits for at once, the slowest."""
    if isinstance(node, Branch):
        return [node.condition, max(node.then, node.otherwise, key=lambda side: worst_s[side])]
    if isinstance(node, FirstOf):
        return list(node.choices)
    names = [parameter.node for parameter in node.parameters]
    return [max(names, key=lambda name: worst_s[name])] if names else []


def _own_s(node: Node) -> float:
    if isinstance(node, Each):
        return _all_elements_s(node)
    if not isinstance(node, Fetch | Lookup):
        return 0.0
    return inf if node.timeout_s is None else node.timeout_s


def _all_elements_s(node: Each) -> float:
    if isinstance(node.body, Derived):
        return 0.0
    limits = [inf if node.timeout_s is None else node.timeout_s]
    if isinstance(node.body, Lookup) and node.body.timeout_s is not None:  # all keys are asked for at once
        limits.append(node.body.timeout_s)
    return min(limits)
