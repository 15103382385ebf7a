"""The graph as a Mermaid flowchart: GitHub and Jupyter draw it, nothing needs to be installed."""

from __future__ import annotations

from collections.abc import Mapping

from feature_graph.errors import BadRun
from feature_graph.node import Branch, Derived, Fetch, FirstOf, Node, edges_of


def mermaid(nodes: Mapping[str, Node], inputs: frozenset[str], goals: tuple[str, ...] | None = None) -> str:
    """Dependencies point at what needs them; dashed lines are walked only if the run decides so.

    Inputs are rounded, fetches doubly framed with their timeout, derived nodes plain, branches and first_ofs
    diamonds.

    Raises:
        BadRun: a goal that is neither a node nor an input.
    """
    shown = _shown(nodes, inputs, goals)
    ids = {name: f"n{place}" for place, name in enumerate(shown)}
    lines = ["flowchart LR"]
    lines += [f"    {ids[name]}{_shape(name, nodes.get(name))}" for name in shown]
    for name in shown:
        if name in nodes:
            lines += _arrows(nodes[name], ids)
    return "\n".join(lines)


def _shown(nodes: Mapping[str, Node], inputs: frozenset[str], goals: tuple[str, ...] | None) -> list[str]:
    stack = list(reversed(goals if goals is not None else tuple(nodes)))
    seen: dict[str, None] = {}
    while stack:
        name = stack.pop()
        if name not in nodes and name not in inputs:
            raise BadRun(f"the goal {name!r} is neither a node nor an input of this graph")
        if name not in seen:
            seen[name] = None
            stack.extend(edge.to for edge in (edges_of(nodes[name]) if name in nodes else ()))
    return [name for name in (*sorted(inputs), *nodes) if name in seen]


def _shape(name: str, node: Node | None) -> str:
    if node is None:
        return f'(["{name}"])'
    if isinstance(node, Fetch):
        limit = f"<br/>≤ {node.timeout_s * 1000:g} ms" if node.timeout_s is not None else ""
        return f'[["{name}{limit}"]]'
    if isinstance(node, Derived):
        return f'["{name}"]'
    return f'{{"{name}"}}'


def _arrows(node: Node, ids: Mapping[str, str]) -> list[str]:
    here = ids[node.name]
    if isinstance(node, Branch):
        return [
            f"    {ids[node.condition]} -- if --> {here}",
            f"    {ids[node.then]} -. then .-> {here}",
            f"    {ids[node.otherwise]} -. otherwise .-> {here}",
        ]
    if isinstance(node, FirstOf):
        return [
            f"    {ids[choice]} -. {place} .-> {here}" for place, choice in enumerate(node.choices, start=1)
        ]
    return [f"    {ids[each.node]} --> {here}" for each in node.parameters]
