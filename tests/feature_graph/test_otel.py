"""Spans made from the timeline afterwards, with the SDK's own exporter at the other end."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import TypedDict

import pytest

pytest.importorskip("opentelemetry.sdk")

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON
from opentelemetry.trace import SpanKind, StatusCode

from feature_graph import Graph, branch, fetch
from feature_graph.otel import emit
from feature_graph.scope import note
from tests.feature_graph.virtual_time import run


class Given(TypedDict):
    user: str


@fetch()
async def profile(user: str) -> int:
    note(attempts=2, hosts=["a", "b"], odd=object, secret_free=True)
    await asyncio.sleep(0.03)
    return 3


@fetch(fallback=0.5)
async def bureau(user: str) -> float:
    await asyncio.sleep(0.01)
    raise ConnectionError("no route")


@fetch()
async def broken(profile: int) -> float:
    raise ValueError("no such shop")


def is_new(profile: int) -> bool:
    return profile == 0


def risk(score: float) -> float:
    return score


graph = Graph(
    Given, profile, bureau, broken, is_new, risk, score=branch("is_new", then="broken", otherwise="bureau")
)
BEGAN_NS = 1_700_000_000_000_000_000


def exported(sampler, goals=("risk", "broken"), *, with_parent=True, began_ns=BEGAN_NS):
    exporter = InMemorySpanExporter()
    provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("test")
    found = run(lambda: graph.resolve(goals, given={"user": "ann"}))
    if with_parent:
        with tracer.start_as_current_span("request"):
            made = emit(found, tracer=tracer, began_ns=began_ns)
    else:
        made = emit(found, tracer=tracer, began_ns=began_ns)
    return made, {span.name: span for span in exporter.get_finished_spans()}


def test_every_node_that_began_has_a_span_below_that_of_the_run():
    """With the times of the timeline, in ns."""
    made, spans = exported(ALWAYS_ON)

    assert spans.keys() == {"request", "features", "profile", "bureau", "broken", "is_new", "risk", "score"}
    assert made == len(spans) - 1
    assert spans["features"].parent.span_id == spans["request"].context.span_id
    assert {spans[name].parent.span_id for name in ("profile", "risk")} == {spans["features"].context.span_id}
    assert spans["features"].attributes["feature.goals"] == ("risk", "broken")
    assert spans["profile"].start_time == BEGAN_NS
    assert spans["profile"].end_time == pytest.approx(BEGAN_NS + 30_000_000, abs=1_000)
    assert spans["bureau"].start_time == pytest.approx(BEGAN_NS + 30_000_000, abs=1_000)
    assert spans["features"].end_time == pytest.approx(BEGAN_NS + 40_000_000, abs=1_000)


def test_status_root_notes_and_kind_are_attributes():
    """What OpenTelemetry has no type for is written as text; values are never written."""
    _, spans = exported(ALWAYS_ON)

    assert dict(spans["profile"].attributes) == {
        "feature.status": "ok",
        "feature.kind": "fetch",
        "feature.attempts": 2,
        "feature.hosts": ("a", "b"),
        "feature.odd": "<class 'object'>",
        "feature.secret_free": True,
    }
    assert spans["score"].attributes["feature.via"] == "bureau"
    assert spans["score"].attributes["feature.root"] == "bureau"
    assert spans["profile"].kind is SpanKind.CLIENT
    assert spans["risk"].kind is SpanKind.INTERNAL


def test_an_error_is_an_event_where_it_began_and_only_a_loss_is_an_error():
    """A fallback is no error of the trace, though its reason is told."""
    _, spans = exported(ALWAYS_ON)

    assert spans["broken"].status.status_code is StatusCode.ERROR
    assert spans["broken"].status.description == "failed at 'broken' (ValueError: no such shop)"
    assert [event.attributes["exception.message"] for event in spans["broken"].events] == ["no such shop"]
    assert spans["bureau"].status.status_code is StatusCode.UNSET
    assert [event.attributes["exception.type"] for event in spans["bureau"].events] == ["ConnectionError"]
    assert spans["score"].events == ()


@pytest.mark.parametrize(("sampler", "with_parent"), [(ALWAYS_OFF, True), (ALWAYS_ON, False)])
def test_nothing_is_made_if_nobody_will_look(sampler, with_parent):
    """The parent is not sampled, or there is none."""
    made, spans = exported(sampler, with_parent=with_parent)

    assert made == 0
    assert not spans


def test_without_a_start_the_run_ends_now():
    _, spans = exported(ALWAYS_ON, began_ns=None)

    assert spans["features"].end_time <= spans["request"].end_time


def test_the_package_itself_needs_no_opentelemetry():
    """One file imports it, and nothing imports that file."""
    code = (
        "import feature_graph, sys; sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
