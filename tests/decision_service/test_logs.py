"""What processes say in a cluster: JSON all of it; a line a decision where it is wanted; and no secret."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from decision_service.api.recommendations import Recommendation
from decision_service.decision_lines import DecisionLines, lines_of
from decision_service.door import refusal
from decision_service.endpoint import Endpoint, Request
from decision_service.errors import NothingEligible
from decision_service.problem import HttpAnswer
from sidecar.contracts.keys import learner_status, workers
from sidecar.contracts.scripts.working import decode_workers
from tests.decision_service.platform import Platform, platform
from tests.waiting import until

JSON = {"SIDEARM_LOG_FORMAT": "json"}
VISITOR = {
    "session_id": "s-of-anna",
    "unit_id": "anna",
    "context": {"city": "Atlantis"},
    "decision_id": "hers",
}
ON_THE_WAY = ("sidecar.server", "policy_learner", "policy_learner.joiner", "policy_learner.archiver")
FIELDS = {
    "decision_id",
    "arm",
    "probability",
    "source",
    "policy",
    "model_version",
    "mode",
    "logged",
    "duration_ms",
}


@pytest.fixture(scope="module")
def shop():
    every = {"SIDEARM_DECISION_SERVICE_LOG_DECISIONS": "1"}
    with platform(sections='[learner]\narchiver = "apart"', environ=JSON | every) as made:
        yield made


def lines_in(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def decisions(shop: Platform) -> list[dict[str, Any]]:
    assert shop.service is not None
    return [one for one in lines_in(shop.service.output()) if one["logger"] == "sidearm.decisions"]


def test_a_line_a_decision_and_nothing_of_the_visitor(shop: Platform) -> None:
    """Repeats are answers too; refusals are in the figures."""
    answer = shop.recommend(**VISITOR).json()
    again = shop.recommend(**VISITOR).json()
    assert shop.recommend(arms=["twice", "twice"]).status_code == 422

    first, second = until(lambda: (found := decisions(shop))[1:] and found)

    assert {*first} == FIELDS | {"timestamp", "level", "logger", "event", "pid"}
    for line, told in ((first, answer), (second, again)):
        for name in ("decision_id", "arm", "probability", "source", "policy", "model_version", "logged"):
            assert line[name] == told[name], name
        assert line["mode"] == "wait"
        assert 0.0 < line["duration_ms"] < 60_000.0
    text = shop.service.output()
    secret = shop.data.draw_secret.read_text().strip()
    for word in ("anna", "Atlantis", "city", "hers", shop.key, secret):
        assert word not in text


def test_every_process_logs_json_from_its_first_line_to_its_last(shop: Platform) -> None:
    """The learner and its helpers, the sidecar, the service: an orderly stop included."""
    others = [shop.start_of(module) for module in ON_THE_WAY[1:]]
    until(lambda: len(decode_workers(shop.store.hgetall(workers("bench")))) == 2, 60.0, "both helpers work")
    until(lambda: shop.store.exists(learner_status("bench")), 60.0, "the learner works")
    assert [one.stop() for one in others] == [0, 0, 0]
    for one in (*others, shop.sidecar, shop.service):
        assert one is not None
        for line in lines_in(one.output()):
            assert line["logger"].startswith("sidearm."), line


@pytest.mark.parametrize("module", ["decision_service", *ON_THE_WAY])
def test_why_a_process_does_not_start_is_one_object(module: str) -> None:
    """As a person is told in one line."""
    ended = _run("-m", module, **JSON)
    (line,) = lines_in(ended.stderr)
    assert ended.returncode == 2
    assert line["level"] == "critical"
    assert "SIDEARM_APP" in line["event"]
    assert _run("-m", module, SIDEARM_LOG_FORMAT="xml").returncode == 2


@pytest.mark.parametrize("words", [["train"], ["log", "compact"], ["evaluate", "--app", "/nowhere"]])
def test_so_it_is_of_the_commands_that_run_in_pods(words: list[str]) -> None:
    """Each with a folder that is not there."""
    command = "from decision_service.cli.main import main; main()"
    ended = _run("-c", command, *words, **JSON, SIDEARM_APP="/nowhere", SIDEARM_DATA="/nowhere/data")
    (line,) = lines_in(ended.stderr)
    assert ended.returncode == 2
    assert line["level"] == "critical"
    assert "/nowhere" in line["event"]


def _run(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith("SIDEARM_")}
    command = [sys.executable, *words]
    return subprocess.run(command, env={**ours, **environ}, capture_output=True, text=True, timeout=300)


def test_a_request_has_the_name_that_its_caller_gave_it(shop: Platform) -> None:
    """On every path; what could pass for something else is not repeated."""
    told = {"x-request-id": "abc-1"}
    assert (
        shop.client.post("/v1/recommendations", json={"session_id": "s"}, headers=told).headers[
            "x-request-id"
        ]
        == "abc-1"
    )
    for method, path in (
        ("GET", "/livez"),
        ("GET", "/v1/decisions/nobodys"),
        ("POST", "/livez"),
        ("POST", "/v1/track"),
    ):
        assert shop.client.request(method, path, headers=told).headers["x-request-id"] == "abc-1", path
    for odd in ("a b", "x" * 129, '{"level":1}', "ü"):
        answer = shop.client.get("/livez", headers={"x-request-id": odd.encode("latin-1")})
        assert "x-request-id" not in answer.headers
    assert "x-request-id" not in shop.recommend().headers


def recommendation(number: int) -> Recommendation:
    return Recommendation(
        decision_id=f"0-{number:016x}",
        session_id="s",
        arm="a",
        probability=0.5,
        ranking=[],
        source="model",
        policy="champion",
        model_version=1,
        logged=True,
        reward_until=None,
    )


def test_a_share_is_of_the_same_decisions_everywhere(caplog: pytest.LogCaptureFixture) -> None:
    """Two services that log a tenth log the same tenth; who logs none asks nobody."""
    assert lines_of(0.0, "wait", lambda: 0.0) is None
    found = []
    for _ in range(2):
        with caplog.at_level("INFO", "sidearm.decisions"):
            tenth = DecisionLines(0.1, "wait", lambda: 2.0)
            tenth.tell([*map(recommendation, range(2000)), ValueError("refused")], 1.0)
        found.append([vars(record)["decision_id"] for record in caplog.records])
        caplog.clear()
    assert found[0] == found[1]
    assert 140 < len(found[0]) < 260


def test_a_bug_is_told_under_the_id_that_its_caller_was_told(caplog: pytest.LogCaptureFixture) -> None:
    """The caller's own, or one of ours; nobody else has one."""
    endpoint = Endpoint("recommend", "POST", "/v1/recommendations", _nobody, "decide")
    for given in (b"abc-1", b""):
        answer = refusal(ZeroDivisionError("oh"), endpoint, given)
        (told,) = [value for name, value in answer.headers if name == b"x-request-id"]
        assert answer.status == 500
        assert told == (given or told)
        assert vars(caplog.records[-1])["request_id"] == told.decode()
        assert caplog.records[-1].exc_info is not None
    assert refusal(NothingEligible("none"), endpoint).headers == ()


async def _nobody(_: Request) -> HttpAnswer:
    raise AssertionError("nobody asks")
