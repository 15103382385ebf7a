"""OpenTelemetry spans made from a run's timeline afterwards, and only if somebody will look at them.

A recorded span costs several times the scheduling of its node, even one that nobody samples as much as the
node: so a run keeps plain tuples, and this makes spans of them when the trace is sampled. Needs the extra
``otel``; nothing else in this package imports it.

>>> found = await graph.resolve("risk", given=given, deadline=0.2)      # doctest: +SKIP
>>> emit(found)                                                         # doctest: +SKIP
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeGuard

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, StatusCode, Tracer, set_span_in_context

from feature_graph.node import Each, Fetch, Lookup, Node
from feature_graph.outcome import Outcome, Status

if TYPE_CHECKING:
    from feature_graph.resolution import Resolution, Span

Attribute = str | bool | int | float | Sequence[str] | Sequence[bool] | Sequence[int] | Sequence[float]
_ERRORS = (Status.FAILED, Status.TIMED_OUT, Status.UPSTREAM_FAILED)
_NS = 1_000_000_000


def emit(
    resolution: Resolution,
    *,
    tracer: Tracer | None = None,
    parent: Context | None = None,
    began_ns: int | None = None,
    name: str = "features",
) -> int:
    """Make a span of the run, and below it one of every node that began.

    Attributes are ``feature.status``, ``.root``, ``.via`` and the notes of the fetch (``feature.attempts``);
    an error is an event of its span. Values are never written.

    Args:
        resolution: a run.
        tracer: who makes the spans; by default that of the global provider.
        parent: the context whose span they belong to; by default the current one.
        began_ns: when the run began, in ns since the epoch; by default its last node ends now.
        name: of the run's span.

    Returns:
        How many spans were made; 0 if the parent is not sampled, or there is none.
    """
    if not trace.get_current_span(parent).get_span_context().trace_flags.sampled:
        return 0
    timeline = resolution.timeline
    whole_s = max((span.end_s for span in timeline), default=0.0)
    start_ns = time.time_ns() - round(whole_s * _NS) if began_ns is None else began_ns
    tracer = tracer or trace.get_tracer("feature_graph")
    attributes = {"feature.goals": list(resolution.goals)}
    run = tracer.start_span(name, parent, SpanKind.INTERNAL, attributes, start_time=start_ns)
    if resolution.abandoned:
        run.set_attribute("feature.abandoned", list(resolution.abandoned))
    within = set_span_in_context(run, parent)
    for span in timeline:
        _emit(span, resolution, tracer, within, start_ns)
    run.end(start_ns + round(whole_s * _NS))
    return 1 + len(timeline)


def _emit(span: Span, resolution: Resolution, tracer: Tracer, within: Context, start_ns: int) -> None:
    outcome, node = resolution.outcomes[span.name], resolution.nodes[span.name]
    attributes = _attributes(span, outcome, node, resolution.blocked.get(span.name))
    kind = SpanKind.CLIENT if isinstance(node, Fetch | Lookup) else SpanKind.INTERNAL
    began_ns, ended_ns = (start_ns + round(at_s * _NS) for at_s in (span.start_s, span.end_s))
    made = tracer.start_span(span.name, within, kind, attributes, start_time=began_ns)
    if outcome.error is not None and outcome.root in (None, span.name):
        made.record_exception(outcome.error, timestamp=ended_ns)
    if span.status in _ERRORS:
        made.set_status(StatusCode.ERROR, outcome.describe())
    made.end(ended_ns)


def _attributes(
    span: Span, outcome: Outcome[object], node: Node, held_s: float | None
) -> dict[str, Attribute]:
    found: dict[str, Attribute] = {"feature.status": span.status.value, "feature.kind": _kind(node)}
    told = {"root": outcome.root, "via": outcome.via, "held_loop_s": held_s, **span.notes}
    for key, value in told.items():
        if value is not None:
            found[f"feature.{key}"] = value if _is_attribute(value) else str(value)
    return found


def _kind(node: Node) -> str:
    body = node.body if isinstance(node, Each) else node
    source = body.options.source if isinstance(body, Fetch | Lookup) else None
    kind = type(node).__name__.lower()
    return kind if source is None else f"{kind} {source.name}"


def _is_attribute(value: object) -> TypeGuard[Attribute]:
    if isinstance(value, list | tuple):
        return len({type(each) for each in value}) <= 1 and all(
            isinstance(each, str | int | float) for each in value
        )
    return isinstance(value, str | bool | int | float)
