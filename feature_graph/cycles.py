"""Cycles that can close, and only those.

Two nodes may name each other from opposite sides of the same condition: such a ring never closes, because one
run takes one side. A ring is refused if some values of the conditions on it would close it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from feature_graph.node import Edge

Edges = Mapping[str, tuple[Edge, ...]]
_STEPS = 20_000
"""Search steps per knot of rings; a knot that needs more is refused: nobody could follow it either."""


def find_cycle(edges: Edges) -> tuple[str, ...] | None:
    """A path that ends where it began and can be walked in one run, or None.

    Args:
        edges: of every node; edges to names that are no key (inputs) are passed over.
    """
    for knot in knots(edges):
        path = _closing_path(edges, frozenset(knot)) if is_ring(edges, knot) else None
        if path:
            return path
    return None


def is_ring(edges: Edges, knot: tuple[str, ...]) -> bool:
    """True if the knot is more than one node that does not name itself."""
    return len(knot) > 1 or any(edge.to == knot[0] for edge in edges[knot[0]])


def _closing_path(edges: Edges, knot: frozenset[str]) -> tuple[str, ...] | None:
    """Walk every simple path inside the knot whose assumptions agree, until one comes back to its start."""
    steps = 0
    for start in sorted(knot):
        taken: dict[str, bool] = {}
        path: list[tuple[str, Iterator[Edge], str | None]] = [(start, iter(edges[start]), None)]
        on_path = {start}
        while path:
            node, out, _ = path[-1]
            edge = next(out, None)
            steps += 1
            if edge is None:
                _, _, assumed = path.pop()
                on_path.discard(node)
                taken.pop(assumed, None) if assumed is not None else None
            elif edge.to in knot and _agrees(edge, taken):
                if edge.to == start or steps > _STEPS:
                    return (*(name for name, _, _ in path), edge.to)
                if edge.to not in on_path:
                    newly = None
                    if edge.assumes is not None and edge.assumes.condition not in taken:
                        newly = edge.assumes.condition
                        taken[newly] = edge.assumes.value
                    path.append((edge.to, iter(edges[edge.to]), newly))
                    on_path.add(edge.to)
    return None


def _agrees(edge: Edge, taken: Mapping[str, bool]) -> bool:
    return edge.assumes is None or taken.get(edge.assumes.condition, edge.assumes.value) == edge.assumes.value


def knots(edges: Edges) -> Iterator[tuple[str, ...]]:
    """Groups of nodes that all reach one another, dependencies first; most are a single node.

    R. Tarjan, Depth-first search and linear graph algorithms, 1972. Without recursion: a chain of ten
    thousand nodes is a legal graph.
    """
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    open_nodes: list[str] = []
    is_open: set[str] = set()
    for root in edges:
        if root in order:
            continue
        walk = [(root, iter(edges[root]))]
        order[root] = low[root] = len(order)
        open_nodes.append(root)
        is_open.add(root)
        while walk:
            node, out = walk[-1]
            for edge in out:
                if edge.to not in edges:
                    continue
                if edge.to not in order:
                    order[edge.to] = low[edge.to] = len(order)
                    open_nodes.append(edge.to)
                    is_open.add(edge.to)
                    walk.append((edge.to, iter(edges[edge.to])))
                    break
                if edge.to in is_open:
                    low[node] = min(low[node], order[edge.to])
            else:
                walk.pop()
                if walk:
                    low[walk[-1][0]] = min(low[walk[-1][0]], low[node])
                if low[node] == order[node]:
                    yield _close(node, open_nodes, is_open)


def _close(node: str, open_nodes: list[str], is_open: set[str]) -> tuple[str, ...]:
    knot: list[str] = []
    while not knot or knot[-1] != node:
        knot.append(open_nodes.pop())
    is_open.difference_update(knot)
    return tuple(knot)
