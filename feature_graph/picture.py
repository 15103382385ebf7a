"""The graph as a Mermaid flowchart: GitHub and Jupyter draw it, nothing needs to be installed."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from feature_graph.errors import BadRun
from feature_graph.node import Branch, Derived, Each, Fetch, FirstOf, Lookup, Node, edges_of
from feature_graph.waterfall import told_notes
from feature_graph.what_if import critical_path

if TYPE_CHECKING:
    from feature_graph.resolution import Resolution, Span

_CLASSES = {
    "ok": "fill:#e6f4ea,stroke:#34a853,color:#000",
    "given": "fill:#e8f0fe,stroke:#4285f4,color:#000",
    "fallback": "fill:#fef7e0,stroke:#f9ab00,color:#000",
    "failed": "fill:#fce8e6,stroke:#d93025,color:#000",
    "timed_out": "fill:#fce8e6,stroke:#d93025,color:#000,stroke-dasharray:4 2",
    "upstream_failed": "fill:#fff,stroke:#d93025,color:#000,stroke-dasharray:2 2",
    "cancelled": "fill:#f1f3f4,stroke:#80868b,color:#000",
    "not_needed": "fill:#fff,stroke:#dadce0,color:#80868b,stroke-dasharray:2 2",
    "critical": "stroke-width:4px",
}
_PLAIN = re.compile(r"[^\w .:,+*/()\[\]=≤×·-]")


class _Arrow(NamedTuple):
    from_name: str
    drawn: str
    to_name: str


def mermaid(
    nodes: Mapping[str, Node],
    inputs: frozenset[str],
    goals: tuple[str, ...] | None = None,
    run: Resolution | None = None,
) -> str:
    """Dependencies point at what needs them; dashed arrows are walked only if the run decides so.

    Inputs are rounded; fetches doubly framed, with their source and timeout; lookups are drums; an each is a
    hexagon; derived nodes are plain; branches and first_ofs are diamonds. With ``run`` every node also tells
    what it took and what came of it, coloured by status, and the critical path is drawn thick.

    Raises:
        BadRun: a goal that is neither a node nor an input.
    """
    shown = _shown(nodes, inputs, goals)
    ids = {name: f"n{place}" for place, name in enumerate(shown)}
    spans = {} if run is None else {span.name: span for span in run.timeline}
    lines = ["flowchart LR"]
    lines += [f"    {ids[name]}{_shape(name, nodes.get(name), spans.get(name))}" for name in shown]
    arrows = [arrow for name in shown if name in nodes for arrow in _arrows(nodes[name])]
    lines += [f"    {ids[arrow.from_name]} {arrow.drawn} {ids[arrow.to_name]}" for arrow in arrows]
    return "\n".join(lines + ([] if run is None else _styles(run, ids, arrows)))


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


def _shape(name: str, node: Node | None, span: Span | None) -> str:
    told = [_escaped(name)]
    limits = [] if node is None else _limits(node)
    told += [" · ".join(limits)] if limits else []
    if span is not None:
        times = [] if isinstance(node, Branch | FirstOf) else [f"{(span.end_s - span.start_s) * 1000:.1f} ms"]
        told.append(_escaped(" · ".join([*times, span.status.value, *told_notes(span.notes)])))
    before, after = _frame(node)
    return f'{before}"{"<br/>".join(told)}"{after}'


def _frame(node: Node | None) -> tuple[str, str]:
    if node is None:
        return "([", "])"
    if isinstance(node, Fetch):
        return "[[", "]]"
    if isinstance(node, Lookup):
        return "[(", ")]"
    if isinstance(node, Each):
        return "{{", "}}"
    return ("[", "]") if isinstance(node, Derived) else ("{", "}")


def _limits(node: Node) -> list[str]:
    """Source and timeout, where there are such."""
    body = node.body if isinstance(node, Each) else node
    source = body.options.source if isinstance(body, Fetch | Lookup) else None
    timeout_s = node.timeout_s if isinstance(node, Fetch | Lookup | Each) else None
    told = [] if source is None else [_escaped(source.name)]
    return told if timeout_s is None else [*told, f"≤ {timeout_s * 1000:g} ms"]


def _arrows(node: Node) -> list[_Arrow]:
    here = node.name
    if isinstance(node, Branch):
        return [
            _Arrow(node.condition, "-- if -->", here),
            _Arrow(node.then, "-. then .->", here),
            _Arrow(node.otherwise, "-. otherwise .->", here),
        ]
    if isinstance(node, FirstOf):
        return [_Arrow(name, f"-. {place} .->", here) for place, name in enumerate(node.choices, start=1)]
    needed = dict.fromkeys(parameter.node for parameter in node.parameters)
    first = "-- each -->" if isinstance(node, Each) else "-- key -->" if isinstance(node, Lookup) else "-->"
    return [_Arrow(name, "-->" if place else first, here) for place, name in enumerate(needed)]


def _styles(run: Resolution, ids: Mapping[str, str], arrows: Iterable[_Arrow]) -> list[str]:
    """Colours by status, thick lines along the critical path."""
    path = [leg.name for leg in critical_path(run)]
    by_class: dict[str, list[str]] = {}
    for name, its_id in ids.items():
        if name in run.nodes or name in run.outcomes:
            by_class.setdefault(run.outcomes[name].status.value, []).append(its_id)
    by_class["critical"] = [ids[name] for name in path if name in ids]
    used = {name: members for name, members in by_class.items() if members}
    lines = [f"    classDef {name} {_CLASSES[name]}" for name in used]
    lines += [f"    class {','.join(members)} {name}" for name, members in used.items()]
    steps = set(itertools.pairwise(path))
    thick = [str(place) for place, arrow in enumerate(arrows) if (arrow.from_name, arrow.to_name) in steps]
    return [*lines, f"    linkStyle {','.join(thick)} stroke-width:4px"] if thick else lines


def _escaped(text: str) -> str:
    """Text that Mermaid takes for text: what may mean something to it is written as its number."""
    return _PLAIN.sub(lambda found: f"#{ord(found.group())};", text)
