"""Traces of requests: a span each, below it one of every decision, and of the work that decisions share.

Decisions that come together are decided together. Where one of them is looked at, the stages are spans below
its own, and say how many decisions they were for. Where several are, the stages are spans of a trace of
their own, linked with all of these and they with it: no time is told twice, and nobody's alone.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager

from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind, StatusCode, set_span_in_context

from decision_service.api.recommendations import Recommendation
from decision_service.asgi import header_of
from decision_service.case import Case
from decision_service.mishaps import watching
from decision_service.traced import now_traced
from feature_graph import Resolution
from feature_graph.otel import emit
from sidecar.contracts.tracing import Tracers, context_of, traceparent

Headers = Iterable[tuple[bytes, bytes]]
_STORE = {"logged"}
_SERVER_ERROR = 500


class Tracing:
    """Of one service.

    Args:
        tracers: make its spans.
    """

    def __init__(self, tracers: Tracers) -> None:
        self._tracers = tracers

    def request(self, name: str, headers: Headers) -> Traced | None:
        """A request has come; None if nobody looks at it."""
        word = header_of(headers, b"traceparent")
        parent = context_of(word, header_of(headers, b"tracestate")) if word else Context()
        span = self._tracers.one.start_span(name, parent, SpanKind.SERVER)
        return Traced(span, set_span_in_context(span, parent)) if span.is_recording() else None

    def together(self, requests: Sequence[Traced | None]) -> Together | None:
        """Requests that are decided together; None if nobody looks at any of them."""
        return Together(self._tracers, requests) if any(one is not None for one in requests) else None


class Traced:
    """A request that somebody looks at."""

    def __init__(self, span: Span, context: Context) -> None:
        self.span, self.context = span, context

    @contextmanager
    def current(self) -> Iterator[None]:
        """What is asked for in the block is asked for by it."""
        token = now_traced.set(self)
        try:
            yield
        finally:
            now_traced.reset(token)

    def end(self, status: int) -> None:
        """It was answered, or (499) its caller had gone."""
        self.span.set_attribute("http.response.status_code", status)
        if status >= _SERVER_ERROR:
            self.span.set_status(StatusCode.ERROR)
        self.span.end()


class DecisionTrace:
    """A decision that somebody looks at."""

    def __init__(self, span: Span, context: Context, together: Together) -> None:
        self.span, self.context, self.together = span, context, together

    @property
    def word(self) -> str:
        """Names it for whoever learns from it."""
        return traceparent(self.span)


class Together:
    """Decisions that are made together, some of which somebody looks at.

    Args:
        tracers: make spans.
        requests: whose decisions they are; None of those that nobody looks at.
    """

    def __init__(self, tracers: Tracers, requests: Sequence[Traced | None]) -> None:
        self._tracers, self.count = tracers, len(requests)
        self.traces = [None if one is None else self._decision(one) for one in requests]
        seen = [one for one in self.traces if one is not None]
        self.span: Span | None = None
        self._context = seen[0].context
        if len(seen) > 1:
            self.span, self._context = self._shared(seen, {one for one in requests if one is not None})
        self.stage_word = ""
        """Names the stage that goes on."""

    def _shared(self, seen: Sequence[DecisionTrace], of: Collection[Traced]) -> tuple[Span, Context]:
        """The span of all of them: below their request if they have one, else of a trace of its own."""
        parent = next(iter(of)).context if len(of) == 1 else Context()
        links = [Link(one.span.get_span_context()) for one in seen]
        told = {"sidearm.decisions": self.count}
        span = self._tracers.many.start_span("decide together", parent, links=links, attributes=told)
        for one in seen:
            one.span.add_link(span.get_span_context())
        return span, set_span_in_context(span, parent)

    def _decision(self, request: Traced) -> DecisionTrace:
        span = self._tracers.one.start_span("decision", request.context)
        return DecisionTrace(span, set_span_in_context(span, request.context), self)

    @contextmanager
    def stage(self, name: str, cases: Sequence[Case]) -> Iterator[None]:
        """A stage, with the fetches of the feature graph below it."""
        kind = SpanKind.CLIENT if name in _STORE else SpanKind.INTERNAL
        size = {"sidearm.decisions": len(cases)}
        span = self._tracers.one.start_span(name, self._context, kind, size)
        within = set_span_in_context(span, self._context)
        seen = {id(case.request) for case in cases if case.traced is not None}
        self.stage_word = traceparent(span)

        def look(found: Resolution, of: object) -> None:
            if id(of) in seen:
                emit(found, tracer=self._tracers.one, parent=within)

        token = watching.set(look)
        try:
            yield
        finally:
            watching.reset(token)
            span.end()

    def end(self, outcomes: Sequence[object]) -> None:
        """They are made, or refused."""
        for trace, outcome in zip(self.traces, outcomes, strict=True):
            if trace is not None:
                _tell(trace.span, outcome)
        if self.span is not None:
            self.span.end()


def _tell(span: Span, outcome: object) -> None:
    if isinstance(outcome, Recommendation):
        for name in ("decision_id", "arm", "probability", "source", "policy", "model_version", "logged"):
            span.set_attribute(f"sidearm.{name}", getattr(outcome, name))
    elif isinstance(outcome, Exception):
        span.set_status(StatusCode.ERROR, type(outcome).__name__)
    span.end(time.time_ns())
