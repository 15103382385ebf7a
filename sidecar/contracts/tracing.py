"""Traces: whether anybody wants them, and the words in which processes pass them on.

They are on where the standard environment of OpenTelemetry names a receiver (``OTEL_EXPORTER_OTLP_ENDPOINT``,
or ``OTEL_TRACES_EXPORTER=otlp``), and go there by OTLP over HTTP. Sampler, headers, resource and batches are
what ``OTEL_*`` says. Needs the extra ``otel``; where traces are off, nothing of it is imported.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.trace import Span, Tracer

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")

_PATIENCE_S = 3.0

log = logging.getLogger("sidearm")


class Tracers(NamedTuple):
    """Make the spans of a process."""

    one: Tracer
    """Of what is done for one request: the sampler says whether."""
    many: Tracer
    """Of what is done for several: begun only where somebody looks at one of them, and then always."""
    sender: SpanProcessor


def wanted(environ: Mapping[str, str]) -> bool:
    """Whether the environment names a receiver of traces.

    >>> wanted({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}), wanted({})
    (True, False)
    >>> wanted({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_TRACES_EXPORTER": "none"})
    False
    """
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    if exporters := environ.get("OTEL_TRACES_EXPORTER", "").strip():
        return "otlp" in exporters.split(",")
    return any(environ.get(name) for name in _ENDPOINTS)


def tracers_of(process: str, environ: Mapping[str, str]) -> Tracers | None:
    """Makes spans of ``process``, if they are wanted; what cannot be had is said, and no reason not to start.

    Call it in the process that makes them, after it was forked.
    """
    if not wanted(environ):
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ALWAYS_ON
    except ImportError as error:
        log.warning("no traces: they are asked for, and need the extra otel (no module %s)", error.name)
        return None
    name = environ.get("OTEL_SERVICE_NAME") or f"sidearm-{process}"
    resource, sender = Resource.create({SERVICE_NAME: name}), BatchSpanProcessor(OTLPSpanExporter())
    sampled = TracerProvider(resource=resource, shutdown_on_exit=False)
    always = TracerProvider(ALWAYS_ON, resource, shutdown_on_exit=False)
    for provider in (sampled, always):
        provider.add_span_processor(sender)
    return Tracers(sampled.get_tracer("sidearm"), always.get_tracer("sidearm"), sender)


def flush(tracers: Tracers | None) -> None:
    """Send what was not sent, at the end of the process, which waits for it but not for ever."""
    if tracers is not None:
        ending = threading.Thread(target=tracers.sender.shutdown, daemon=True)
        ending.start()
        ending.join(_PATIENCE_S)


def traceparent(span: Span) -> str:
    """The word that names a span, as W3C Trace Context has it; empty if nobody looks at it."""
    of = span.get_span_context()
    if not (of.is_valid and of.trace_flags.sampled):
        return ""
    return f"00-{of.trace_id:032x}-{of.span_id:016x}-{of.trace_flags:02x}"


def context_of(word: str, state: str = "") -> Context:
    """The context that a word names; an empty one where it names none."""
    from opentelemetry.context import Context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator().extract({"traceparent": word, "tracestate": state}, Context())


def span_of_many(
    tracers: Tracers, name: str, words: Iterable[str], attributes: Mapping[str, str | int], start_ns: int
) -> Span | None:
    """One span of work that was done for several: below the one that all name, or else with a link to each.

    None where nobody looks.
    """
    from opentelemetry.context import Context
    from opentelemetry.trace import Link, get_current_span

    contexts = [context_of(word) for word in dict.fromkeys(filter(None, words))]
    if not contexts:
        return None
    if len(contexts) == 1:
        return tracers.one.start_span(name, contexts[0], attributes=attributes, start_time=start_ns)
    links = [Link(get_current_span(one).get_span_context()) for one in contexts]
    return tracers.many.start_span(name, Context(), links=links, attributes=attributes, start_time=start_ns)
