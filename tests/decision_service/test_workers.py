"""Several processes behind one port, and several behind the sidecar's socket: one service to everybody."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path

import httpx
import pytest

from sidecar.contracts import keys
from sidecar.contracts.weights import encode_weights
from tests.decision_service.platform import Platform, platform, sidecar_get
from tests.decision_service.test_failures import publish
from tests.decision_service.test_models_live import weights
from tests.processes import pid_exists
from tests.waiting import until

WORKERS, SIDECARS = 4, 2
ENVIRON = {"SIDEARM_DECISION_SERVICE_WORKERS": str(WORKERS), "SIDEARM_SIDECAR_WORKERS": str(SIDECARS)}
SAMPLE = re.compile(
    r"^(?P<name>\w+)\{worker=\"(?P<worker>\d)\"(?:,(?P<labels>[^}]*))?\} (?P<value>\S+)$", re.M
)


@pytest.fixture(scope="module")
def crew():
    with platform(environ=ENVIRON) as shop:
        yield shop


def ask(shop: Platform, times: int) -> list[dict]:
    """Each over a connection of its own, so that whoever likes accepts it."""
    answers = []
    for number in range(times):
        headers = {"authorization": f"Bearer {shop.key}"}
        body = {"session_id": f"s-{number}"}
        answers.append(httpx.post(f"{shop.url}/v1/recommendations", json=body, headers=headers, timeout=30.0))
    assert {answer.status_code for answer in answers} == {201}
    return [answer.json() for answer in answers]


def samples(text: str, name: str) -> dict[int, float]:
    """Worker to the sum of a family's samples."""
    found: dict[int, float] = {}
    for match in SAMPLE.finditer(text):
        if match["name"] == name:
            worker = int(match["worker"])
            found[worker] = found.get(worker, 0.0) + float(match["value"])
    return found


def test_a_scrape_has_the_figures_of_all_and_says_whose_they_are(crew: Platform):
    """Whoever is scraped: what was decided is counted once."""
    before = sum(samples(crew.client.get("/metrics").text, "sidearm_decisions_total").values())
    ask(crew, 20)
    text = crew.client.get("/metrics").text
    counted = samples(text, "sidearm_decisions_total")
    assert set(counted) == set(range(WORKERS))
    assert sum(counted.values()) - before == 20
    assert text.count("# TYPE sidearm_decisions_total counter") == 1
    assert set(samples(text, "sidearm_store_up").values()) == {1.0}


def test_the_sidecars_figures_are_those_of_all(crew: Platform):
    """Rows that were scored, by whichever process."""
    ask(crew, 8)
    text = sidecar_get(crew, "/metrics")[1]
    scored = samples(text, "sidearm_sidecar_rows_total")
    assert set(scored) == set(range(SIDECARS))
    assert sum(scored.values()) >= 8


def test_all_of_them_answer_with_a_version_within_a_second_of_its_publication(crew: Platform):
    """Every sidecar follows the weights by itself; the best of three, for the machine may be busy."""
    took_s = []
    for version in (7, 8, 9):
        publish(crew, version)
        began, everywhere = time.monotonic(), dict.fromkeys(range(SIDECARS), float(version))
        until(lambda everywhere=everywhere: versions_held(crew) == everywhere, 20.0, "the version everywhere")
        took_s.append(time.monotonic() - began)
    assert min(took_s) < 1.0
    assert {answer["model_version"] for answer in ask(crew, 12)} == {9}


def versions_held(crew: Platform) -> dict[int, float]:
    return samples(sidecar_get(crew, "/metrics")[1], "sidearm_weights_version")


def test_a_model_is_deployed_shared_promoted_and_undeployed_everywhere_within_a_second(crew: Platform):
    """Through the API, whichever worker takes the call; nothing is restarted. The best of three, as above."""
    crew.store.hset(keys.model_records("bench"), "5", encode_weights(weights(5)))
    client = crew.client
    put, patch, post, delete = client.put, client.patch, client.post, client.delete
    changes = [
        lambda: put("/v1/models/bold", json={"role": "challenger", "version": "5", "share": 0.2}),
        lambda: patch("/v1/models/bold", json={"share": 0.9}),
        lambda: post("/v1/models/bold/promote"),
        lambda: delete("/v1/models/champion"),
    ]
    took_s: list[list[float]] = [[] for _ in changes]
    before = {one.pid for one in (crew.service, crew.sidecar) if one is not None}
    for _ in range(3):
        for change, each_s in zip(changes, took_s, strict=True):
            revision = change().raise_for_status().json()["revision"]
            begun = time.monotonic()
            until(lambda: followed(crew) == dict.fromkeys(range(WORKERS), float(revision)))  # noqa: B023 - asked at once
            until(lambda: deployed(crew) == dict.fromkeys(range(SIDECARS), 1.0))
            each_s.append(time.monotonic() - begun)
        assert {one["policy"] for one in ask(crew, 8)} == {"bold"}
        put("/v1/models/champion", json={"role": "champion"}).raise_for_status()
        delete("/v1/models/bold").raise_for_status()
        until(lambda: deployed(crew) == dict.fromkeys(range(SIDECARS), 0.0))
    assert max(map(min, took_s)) < 1.0
    assert before == {one.pid for one in (crew.service, crew.sidecar) if one is not None}


def followed(crew: Platform) -> dict[int, float]:
    """Worker to the revision of the roster that it follows."""
    return samples(crew.client.get("/metrics").text, "sidearm_models_revision")


def deployed(crew: Platform) -> dict[int, float]:
    """Sidecar to how many fixed versions it scores with."""
    return samples(sidecar_get(crew, "/metrics")[1], "sidearm_sidecar_deployed")


@pytest.mark.slow
def test_one_that_dies_ends_all_and_sigterm_is_an_orderly_end():
    """Nothing is started again silently, and nothing stays behind."""
    with platform(sidecar=False, environ=ENVIRON) as shop:
        assert shop.service is not None
        members = children_of(shop.service.pid)
        assert len(members) == WORKERS
        os.kill(members[0], signal.SIGKILL)
        assert shop.service.exit_code() != 0
        assert not any(map(pid_exists, members))
        shop.client.close()
        again = shop.start_service()
        members = children_of(again.pid)
        assert again.stop() == 0
        assert not any(map(pid_exists, members))


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
