"""The page of the feature graph: its nodes in the order in which they can run, and how each did lately.

The times are of runs that services looked at, a few a second, over the latest minute or two, all replicas
together (``node_watch.py``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, cast

from msgspec import Struct

from decision_service.event_log import patiently
from decision_service.feature_module import Declared
from feature_graph.node import MISSING, Branch, Derived, Each, Fetch, FirstOf, Lookup, Node, edges_of
from sidecar.contracts import keys
from sidecar.contracts.node_report import NodeReport, NodeSeen, decode_reports, quantile_of, together
from sidecar.contracts.store import AsyncScripts

Kind = Literal["input", "fetch", "lookup", "each", "derived", "branch", "first of"]
Look = Literal["first", "second", "both", "none"]
Part = Literal["context feature", "arm feature", "excludes", "answers"]


class EdgeView(Struct, frozen=True):
    """What a node reads."""

    node: str
    weak: bool
    """Asked for only if the run decides so."""


class NodeView(Struct, frozen=True, kw_only=True):
    """One node, or an input."""

    name: str
    kind: Kind
    depth: int
    """How many nodes lie before it at most; inputs have 0."""
    needs: list[EdgeView]
    look: Look
    """The first, cheap one, in which rules are asked; the second, for what is scored; both; or no goal needs
    it."""
    parts: list[Part]
    """What it is for, if it is a goal."""
    source: str
    """What is asked, as far as it is declared."""
    timeout_ms: float | None
    """How long a run waits for it; null: to the end of the run's time."""
    worst_ms: float | None
    """Until it has a value or a reason, all that it needs included, whatever happens; null: no end."""
    has_fallback: bool
    seen: int
    """Runs of the latest minute or two in which it came out somehow."""
    outcomes: dict[str, int]
    last_ms: float | None
    last_status: str
    last_at_ms: int
    p50_ms: float | None
    p99_ms: float | None
    trouble: str
    """How it failed last; empty: not since its service began."""
    trouble_at_ms: int


class GraphView(Struct, frozen=True, kw_only=True):
    """The page's data."""

    nodes: list[NodeView]
    """Empty: the application has no graph."""
    runs: int
    """That were looked at."""
    services: int
    """That told."""
    deadline_ms: int
    """Of a request that names none."""
    mermaid: str
    """The same picture for a document."""


class GraphPage:
    """Reads; belongs to one event loop.

    Args:
        scripts: on the store.
        app: the application's name.
        declared: its graph, if it has one.
        deadline_ms: of a request that names none.
    """

    def __init__(self, scripts: AsyncScripts, app: str, declared: Declared | None, deadline_ms: int) -> None:
        self._scripts, self._app = scripts, app
        self._declared, self._deadline_ms = declared, deadline_ms

    async def look(self) -> GraphView:
        """The graph with its latest times.

        Raises:
            StoreAway: the store did not answer, or something else lies there.
        """
        key = keys.nodes(self._app)
        stored = await patiently(lambda: self._scripts.client.hgetall(key))
        reports = decode_reports(cast("dict[bytes, bytes]", stored))
        told = together(reports.values())
        declared = self._declared
        return GraphView(
            nodes=[] if declared is None else _views(declared, told),
            runs=told.runs,
            services=len(reports),
            deadline_ms=self._deadline_ms,
            mermaid="" if declared is None else declared.graph.mermaid(),
        )


def _views(declared: Declared, told: NodeReport) -> list[NodeView]:
    nodes = declared.graph.nodes
    depths = depths_of(nodes)
    first, second = _behind(nodes, declared.rules), _behind(nodes, declared.everything)
    looks = {name: _look(name in first, name in second) for name in depths}
    names = sorted(depths, key=lambda name: (depths[name], name))
    return [_view(declared, name, depths[name], looks[name], told.nodes.get(name)) for name in names]


def depths_of(nodes: Mapping[str, Node]) -> dict[str, int]:
    """Of all nodes, and of the inputs that they read: how many edges lie before each at most."""
    found: dict[str, int] = {}
    stack = list(nodes)
    while stack:
        name = stack[-1]
        needs = [edge.to for edge in edges_of(nodes[name])] if name in nodes else []
        if missing := [one for one in needs if one not in found]:
            stack += missing
            continue
        found[name] = max([found[one] + 1 for one in needs], default=0 if name not in nodes else 1)
        stack.pop()
    return found


def _behind(nodes: Mapping[str, Node], goals: tuple[str, ...]) -> set[str]:
    """Goals, and all that they may need."""
    found: set[str] = set()
    stack = list(goals)
    while stack:
        name = stack.pop()
        if name not in found:
            found.add(name)
            stack += [edge.to for edge in edges_of(nodes[name])] if name in nodes else []
    return found


def _look(in_first: bool, in_second: bool) -> Look:
    if in_first:
        return "both" if in_second else "first"
    return "second" if in_second else "none"


def _view(declared: Declared, name: str, depth: int, look: Look, seen: NodeSeen | None) -> NodeView:
    node, known = declared.graph.nodes.get(name), seen or NodeSeen({}, {})
    worst_s = declared.graph.worst_case(name)
    return NodeView(
        name=name,
        kind=_kind(node),
        depth=depth,
        needs=_needs(node),
        look=look,
        parts=_parts(declared, name),
        source=_source(node),
        timeout_ms=_timeout_ms(node),
        worst_ms=worst_s * 1000 if math.isfinite(worst_s) else None,
        has_fallback=_has_fallback(node),
        seen=sum(known.outcomes.values()),
        outcomes=known.outcomes,
        last_ms=known.last_ms,
        last_status=known.last_status,
        last_at_ms=known.last_at_ms,
        p50_ms=quantile_of(known.took, 0.5),
        p99_ms=quantile_of(known.took, 0.99),
        trouble=known.trouble,
        trouble_at_ms=known.trouble_at_ms,
    )


_KINDS: dict[type, Kind] = {
    Fetch: "fetch",
    Lookup: "lookup",
    Each: "each",
    Derived: "derived",
    Branch: "branch",
    FirstOf: "first of",
}


def _kind(node: Node | None) -> Kind:
    return "input" if node is None else _KINDS[type(node)]


def _needs(node: Node | None) -> list[EdgeView]:
    weak: dict[str, bool] = {}
    for edge in () if node is None else edges_of(node):
        weak[edge.to] = weak.get(edge.to, True) and edge.weak
    return [EdgeView(name, one) for name, one in weak.items()]


def _parts(declared: Declared, name: str) -> list[Part]:
    lists: list[tuple[Part, tuple[str, ...]]] = [
        ("context feature", declared.goals),
        ("arm feature", declared.arm_goals),
        ("excludes", declared.first_look),
        ("answers", declared.answers),
    ]
    return [part for part, names in lists if name in names]


def _fetched(node: Node | None) -> Fetch | Lookup | None:
    body = node.body if isinstance(node, Each) else node
    return body if isinstance(body, Fetch | Lookup) else None


def _source(node: Node | None) -> str:
    fetched = _fetched(node)
    return fetched.options.source.name if fetched and fetched.options.source else ""


def _timeout_ms(node: Node | None) -> float | None:
    timeout_s = node.timeout_s if isinstance(node, Fetch | Lookup | Each) else None
    if timeout_s is None and (fetched := _fetched(node)):
        timeout_s = fetched.timeout_s
    return None if timeout_s is None else timeout_s * 1000


def _has_fallback(node: Node | None) -> bool:
    fetched = _fetched(node)
    return fetched is not None and fetched.fallback is not MISSING
