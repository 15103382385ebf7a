"""The data of the page Evaluate: nights, asking, cancelling, and who may."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest

from decision_service.auth import load_keys, make_key, write_private
from tests.decision_service.platform import Platform, platform
from tests.offline_eval.logs import simulated_rows, write_log
from tests.waiting import until

PATH = "/v1/console/evaluations"
PATIENCE_S = 240.0
"""An evaluation stands behind everything else on the machine."""


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> Iterator[Platform]:
    """With a log that somebody else made, two nights, and a key that may only look."""
    with platform(
        sidecar=False, name="test", sections='[evaluation]\ncandidates = ["uniform", "table:secret.json"]\n'
    ) as made:
        night = made.data.evaluations("test") / "2026-03-01"
        night.mkdir(parents=True)
        (night / "evaluation.json").write_text(json.dumps(NIGHT))
        (night / "report.html").write_text("<!doctype html><title>report</title>")
        torn = made.data.evaluations("test") / "2026-03-02"
        torn.mkdir()
        (torn / "evaluation.json").write_text('{"candidates": [')
        yield made


ESTIMATE = {"estimator": "dr", "value": {"value": 0.2, "low": 0.1, "high": 0.3, "standard_error": 0.05}}
NIGHT = {
    "candidates": [
        {
            "candidate": "uniform",
            "rows": 100,
            "effective_rows": 50.5,
            "verdict": "better than nothing",
            "headline": "dr",
            "estimates": [{**ESTIMATE, "difference": None}],
            "on_policy": {"estimator": "on_policy", "value": None, "difference": None},
        }
    ],
    "fingerprint": "abc",
    "unknown": [1],
}


def look(shop: Platform) -> dict:
    return shop.client.get(PATH).raise_for_status().json()


def test_nights_are_shown_and_what_is_torn_is_left_out(shop):
    (night,) = look(shop)["nights"]
    assert (night["name"], night["fingerprint"]) == ("2026-03-01", "abc")
    assert night["candidates"][0] == {
        "candidate": "uniform",
        "rows": 100,
        "effective_rows": 50.5,
        "verdict": "better than nothing",
        "estimator": "dr",
        "value": {"value": 0.2, "low": 0.1, "high": 0.3},
        "difference": None,
        "logged": None,
    }


def test_one_is_answered_as_it_was_written_and_its_page_runs_nothing(shop):
    assert shop.client.get(f"{PATH}/2026-03-01").json() == NIGHT
    report = shop.client.get(f"{PATH}/2026-03-01/report")
    assert report.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in report.headers["content-security-policy"]
    assert "sandbox" in report.headers["content-security-policy"]


@pytest.mark.parametrize(
    "name", ["2026-03-09", "..", "%2e%2e", "..%2F..%2Fkeys.json", "asked", "2026-03-01%2F..", "2026-03-01/x"]
)
def test_no_name_leads_elsewhere(shop, name):
    assert shop.client.get(f"{PATH}/{name}").status_code == 404


def test_what_names_a_file_is_neither_offered_nor_taken(shop):
    """It would be read, or run, by whoever may evaluate."""
    assert "table:secret.json" not in look(shop)["offer"]["candidates"]
    for bad in ("table:/etc/passwd", "function:x.py:f", "greedy@/tmp/x", "--json=/tmp/x"):
        refused = shop.client.post(PATH, json={"candidates": [bad]})
        assert (refused.status_code, refused.json()["type"]) == (422, "urn:sidearm:problem:BadRequest")
    assert look(shop)["runs"] == []


def test_without_a_log_it_says_so(shop):
    assert "nothing was archived yet" in look(shop)["why_not"]
    refused = shop.client.post(PATH, json={"candidates": ["uniform"]})
    assert refused.status_code == 503
    assert "nothing was archived yet" in refused.json()["detail"]


def test_who_may_only_look_asks_for_nothing(shop):
    """Keys are read at the start: this one is of another service of the same data."""
    secret, key = make_key("reader", ("read",), lambda size: "ab" * size)
    write_private(
        shop.data.keys, json.dumps([_plain(one) for one in (*load_keys(shop.data.keys), key)]).encode()
    )
    second = shop.start_of("decision_service")
    second.wait_until(lambda: "http://" in second.output())
    url = next(word for word in second.output().split() if word.startswith("http://"))
    with httpx.Client(base_url=url, headers={"authorization": f"Bearer {secret}"}, timeout=30.0) as reader:
        until(lambda: reader.get("/readyz").status_code == 200)
        assert reader.get(PATH).status_code == 200
        assert reader.post(PATH, json={"candidates": ["uniform"]}).status_code == 403
        assert reader.delete(f"{PATH}/2026-03-01").status_code == 403
    second.stop()


def _plain(key) -> dict:
    return {"name": key.name, "prefix": key.prefix, "sha256": key.sha256, "roles": list(key.roles)}


@pytest.mark.slow
def test_one_that_is_asked_for_runs_and_answers_or_says_why_not(shop):
    """One at a time; its progress grows; its answer is beside the nights, and is none of them."""
    write_log(shop.data.root, simulated_rows(3000, seed=5), files=2)
    assert look(shop)["why_not"] == ""
    begun = shop.client.post(
        PATH, json={"candidates": ["uniform", "logged"], "against": "uniform", "days": 3650}
    )
    assert begun.status_code == 200, begun.text
    name = begun.json()["name"]
    assert shop.client.post(PATH, json={"candidates": ["uniform"]}).status_code == 409
    until(lambda: look(shop)["runs"][0]["step"]["phase"] in ("done", "failed"), PATIENCE_S)
    (run,) = look(shop)["runs"]
    assert (run["name"], run["step"]["phase"], run["answered"]) == (name, "done", True), run
    assert (run["step"]["rows"], run["step"]["of"]) == (6000, 6000)
    answer = shop.client.get(f"{PATH}/{name}").json()
    assert [one["candidate"] for one in answer["candidates"]] == ["uniform", "logged"]
    assert len(look(shop)["nights"]) == 1

    shop.data.log("test").joinpath("decisions").rename(shop.data.root / "away")
    shop.data.log("test").joinpath("decisions").mkdir()
    name = until(lambda: _asked_again(shop), PATIENCE_S)
    until(lambda: _run(shop, name)["step"]["phase"] == "failed", PATIENCE_S)
    assert "holds no decisions" in _run(shop, name)["step"]["told"]
    until(lambda: not look(shop)["running"], PATIENCE_S)
    assert shop.client.delete(f"{PATH}/{name}").status_code == 404


def _asked_again(shop: Platform) -> str:
    """Its name; empty while the one before is still ending."""
    begun = shop.client.post(PATH, json={"candidates": ["uniform"]})
    assert begun.status_code in (200, 409), begun.text
    return begun.json().get("name", "")


def _run(shop: Platform, name: str) -> dict:
    return next(run for run in look(shop)["runs"] if run["name"] == name)
