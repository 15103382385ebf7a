"""A trace from a caller's span through service, graph, sidecar and store to the training of that example."""

from __future__ import annotations

import asyncio
import secrets
import sys
from collections.abc import Iterator

import httpx
import pytest

from tests.decision_service.platform import Platform, platform
from tests.otlp import Receiver, Told, receiving
from tests.processes import Process
from tests.waiting import until

FEATURES = """
from typing import TypedDict

from feature_graph import Graph

class Given(TypedDict):
    session_id: str

async def loyalty(session_id: str) -> str:
    return "gold"

async def broken(session_id: str) -> str:
    raise ValueError("nobody is there")

def rank(loyalty: str) -> str:
    return loyalty.upper()

graph = Graph(Given, loyalty, broken, rank)
goals = ("rank", "broken")
"""
ONLY_WHAT_CALLERS_SAMPLE = {"OTEL_TRACES_SAMPLER": "parentbased_always_off"}
OF_A_DECISION = {"recommend", "decision", "eligible", "featured", "features", "loyalty", "broken", "scored"}
OF_A_DECISION |= {"score", "logged", "train"}
"""Spans, of three processes that tell each in its own time."""


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


@pytest.fixture(scope="module")
def shop(receiver: Receiver) -> Iterator[Platform]:
    environ = receiver.environ | ONLY_WHAT_CALLERS_SAMPLE
    with platform(
        mode="assume", top='features = "features.py"', files={"features.py": FEATURES}, environ=environ
    ) as made:
        made.learner = made.start_of("policy_learner")
        yield made


def caller(sampled: bool = True) -> tuple[str, str, dict[str, str]]:
    """Trace, span, and the header that names them."""
    trace, span = secrets.token_hex(16), secrets.token_hex(8)
    return trace, span, {"traceparent": f"00-{trace}-{span}-0{int(sampled)}"}


def one(spans: list[Told], name: str) -> Told:
    (found,) = [span for span in spans if span.name == name]
    return found


def test_a_trace_goes_from_the_caller_to_the_training_of_its_example(
    shop: Platform, receiver: Receiver
) -> None:
    """Each below the one that asked for it, in the process that did it; nothing of the visitor."""
    trace, span, headers = caller()
    told = shop.client.post("/v1/recommendations", json={"session_id": "anna"}, headers=headers).json()

    until(lambda: {span.name for span in receiver.of_trace(trace)} >= OF_A_DECISION, 60.0, "all have told")
    found = receiver.of_trace(trace)

    request, decision = one(found, "recommend"), one(found, "decision")
    assert (request.process, request.parent) == ("sidearm-decision-service", span)
    assert request.attributes["http.response.status_code"] == 201
    assert decision.parent == request.id
    assert decision.attributes["sidearm.decision_id"] == told["decision_id"]
    assert decision.attributes["sidearm.probability"] == told["probability"]
    for name in ("eligible", "featured", "scored", "logged"):
        stage = one(found, name)
        assert (stage.parent, stage.attributes["sidearm.decisions"]) == (decision.id, 1), name
        assert request.start_ns <= stage.start_ns <= stage.end_ns <= request.end_ns
    graph = one(found, "features")
    assert graph.parent == one(found, "featured").id
    assert {one(found, name).parent for name in ("loyalty", "broken")} == {graph.id}
    assert one(found, "broken").failed
    score = one(found, "score")
    assert (score.process, score.parent) == ("sidearm-sidecar", one(found, "scored").id)
    train = one(found, "train")
    assert (train.process, train.parent) == ("sidearm-learner", decision.id)
    assert train.attributes["sidearm.decision_id"] == told["decision_id"]
    (together,) = until(lambda: [s for s in receiver.named("train together") if s.id in train.links])
    assert train.id not in together.links
    assert decision.id in together.links
    assert together.trace != trace
    assert train.start_ns >= one(found, "logged").start_ns
    assert "anna" not in str(receiver.spans)


def test_who_is_not_sampled_has_no_span_and_no_word_in_the_log(shop: Platform, receiver: Receiver) -> None:
    """Though the next one has."""
    quiet, _, unsampled = caller(sampled=False)
    for headers in (unsampled, {}, {"traceparent": "nonsense"}):
        answer = shop.client.post("/v1/recommendations", json={"session_id": "quiet"}, headers=headers)
        assert answer.status_code == 201
        event = stored(shop, answer.json())
        assert event.trace == ""
    trace, _, headers = caller()
    loud = shop.client.post("/v1/recommendations", json={"session_id": "loud"}, headers=headers).json()
    assert stored(shop, loud).trace.split("-")[1] == trace
    until(lambda: receiver.of_trace(trace))
    assert receiver.of_trace(quiet) == []


def stored(shop: Platform, told):
    from sidecar.contracts.events import decode_decision
    from sidecar.contracts.ids import partition_of_session
    from sidecar.contracts.keys import Keys
    from sidecar.contracts.scripts.decide import split_stored

    keys = Keys("bench", partition_of_session(told["session_id"], 2))
    return decode_decision(split_stored(shop.store.get(keys.decision(told["decision_id"]))).payload)


def test_other_doors_rewards_and_refusals_are_requests_too(shop: Platform, receiver: Receiver) -> None:
    """One span each, which says how it ended."""
    for method, path, name, status in (
        ("POST", "/v1/rewards", "reward", 422),
        ("GET", "/v1/decisions/nobodys", "decision", 404),
        ("POST", "/ofrep/v1/evaluate/flags/bench", "ofrep_flag", 200),
    ):
        trace, span, headers = caller()
        body = {"context": {"targetingKey": "s"}} if "ofrep" in path else {}
        answer = shop.client.request(method, path, json=body, headers=headers)
        assert answer.status_code == status, answer.text
        found = until(
            lambda trace=trace, span=span: [s for s in receiver.of_trace(trace) if s.parent == span]
        )
        assert found[0].attributes["http.response.status_code"] == status, name


def is_told(receiver: Receiver, decisions: int) -> bool:
    """Whether all of so many decisions is told: each process tells in its own time, children first."""
    told = receiver.named("decision")
    linked = sum(len(one.links) for one in receiver.named("decide together"))
    scored = sum(one.attributes["sidearm.rows"] for one in receiver.named("score"))
    return len(told) == scored == decisions and linked == sum(bool(one.links) for one in told)


@pytest.mark.slow
def test_decisions_that_are_made_together_share_spans_that_are_linked_with_each() -> None:
    """Several that somebody looks at: the stages are told once, in a trace of their own."""
    with receiving() as receiver, platform(environ=receiver.environ | ONLY_WHAT_CALLERS_SAMPLE) as shop:
        callers = [caller() for _ in range(64)]

        async def ask() -> None:
            key = {"authorization": f"Bearer {shop.key}"}
            async with httpx.AsyncClient(base_url=shop.url, headers=key, timeout=60.0) as client:
                asked = [
                    client.post("/v1/recommendations", json={"session_id": f"s-{n}"}, headers=headers)
                    for n, (_, __, headers) in enumerate(callers)
                ]
                assert {answer.status_code for answer in await asyncio.gather(*asked)} == {201}

        for asked in range(1, 6):
            asyncio.run(ask())
            until(lambda asked=asked: is_told(receiver, 64 * asked))
            if receiver.named("decide together"):
                break
        decisions = {span.id: span for span in receiver.named("decision")}
        assert receiver.named("decide together")
        for together in receiver.named("decide together"):
            stages = [s for s in receiver.of_trace(together.trace) if s.parent == together.id]
            assert {s.name for s in stages} == {"eligible", "featured", "scored", "logged"}
            assert together.attributes["sidearm.decisions"] >= len(together.links) > 1
            for linked in together.links:
                assert decisions[linked].links == (together.id,)
        alone = [span for span in decisions.values() if not span.links]
        for span in alone:
            assert {s.name for s in receiver.spans if s.parent == span.id} >= {"eligible", "scored", "logged"}


def test_a_receiver_that_is_away_keeps_nobody_waiting(shop: Platform) -> None:
    """Neither callers nor the end of the process."""
    away = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_BSP_SCHEDULE_DELAY": "50"}
    shop.environ, before = shop.environ | away, shop.environ
    sidecar: Process | None = None
    try:
        service = shop.start_of("decision_service")
        service.wait_until(lambda: "http://" in service.output(), 150.0)
        url = next(word for word in service.output().split() if word.startswith("http://"))
        headers = {"authorization": f"Bearer {shop.key}", **caller()[2]}
        assert (
            httpx.post(
                f"{url}/v1/recommendations", json={"session_id": "s"}, headers=headers, timeout=30
            ).status_code
            == 201
        )
        assert service.stop(30.0) == 0
    finally:
        shop.environ = before
    assert sidecar is None


def test_nothing_of_it_is_imported_where_nobody_wants_traces(tmp_path) -> None:
    """In any of the three; the store's client imports what it finds, for metrics of its own."""
    import subprocess

    code = (
        "OURS = ('opentelemetry.sdk.trace', 'opentelemetry.exporter', 'decision_service.tracing');"
        " import sys; import decision_service.__main__, sidecar.server.__main__, policy_learner.__main__;"
        " from sidecar.contracts.tracing import tracers_of; assert tracers_of('x', {}) is None;"
        " print(*[n for n in sys.modules if n.startswith(OURS)])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.stdout.strip() == "", done.stderr


def test_traces_that_cannot_be_had_are_no_reason_not_to_start(monkeypatch, caplog) -> None:
    """The extra is not installed: one line says so."""
    from sidecar.contracts.tracing import tracers_of

    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    assert tracers_of("service", {"OTEL_TRACES_EXPORTER": "otlp"}) is None
    assert "extra otel" in caplog.text
