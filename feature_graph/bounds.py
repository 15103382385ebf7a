"""How late a goal can be, from the declaration alone."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf

from feature_graph.cycles import is_ring, knots
from feature_graph.errors import BadRun
from feature_graph.node import Branch, Fetch, FirstOf, Node, edges_of


def worst_case_s(nodes: Mapping[str, Node], inputs: frozenset[str], goal: str) -> float:
    """Longest possible wait for a goal, in seconds, the cost of derived nodes and of the engine left out.

    A fetch takes its timeout after the slowest thing it needs; a branch its condition and then its slower
    side; a first_of all its choices in a row. Nodes that need each other from opposite sides of a condition
    are bounded together, by the sum of all of them.

    Raises:
        BadRun: the goal is neither a node nor an input.
    """
    if goal in inputs:
        return 0.0
    if goal not in nodes:
        raise BadRun(f"the goal {goal!r} is neither a node nor an input of this graph")
    edges = {name: edges_of(node) for name, node in nodes.items()}
    worst_s = dict.fromkeys(inputs, 0.0)
    for knot in knots(edges):
        if is_ring(edges, knot):
            outside = {edge.to for name in knot for edge in edges[name]}.difference(knot)
            total_s = sum(_own_s(nodes[name]) for name in knot) + sum(worst_s[name] for name in outside)
            worst_s.update(dict.fromkeys(knot, total_s))
        else:
            worst_s[knot[0]] = _worst_of(nodes[knot[0]], worst_s)
    return worst_s[goal]


def _worst_of(node: Node, worst_s: Mapping[str, float]) -> float:
    if isinstance(node, Branch):
        return worst_s[node.condition] + max(worst_s[node.then], worst_s[node.otherwise])
    if isinstance(node, FirstOf):
        return sum(worst_s[choice] for choice in node.choices)
    return _own_s(node) + max((worst_s[each.node] for each in node.parameters), default=0.0)


def _own_s(node: Node) -> float:
    if not isinstance(node, Fetch):
        return 0.0
    return inf if node.timeout_s is None else node.timeout_s
