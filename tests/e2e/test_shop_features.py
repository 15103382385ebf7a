"""The shop's feature graph in real processes: two looks, features of products, and a log that replays."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

import httpx
import redis

from decision_service.cli.platform import free_port, started
from examples.settled import published_weights, wait_until_learnt
from examples.shop.figures import Tally
from examples.shop.simulator import FOLDER, HORIZON_S, load_arms, sessions
from examples.shop.traffic import Service, run_sessions
from policy_learner.models.model_shelf import look
from sidecar.contracts.application import load_application
from sidecar.contracts.store import connect
from tests.e2e.patient_shop import patient_shop
from tests.waiting import until

ROOT = Path(__file__).parents[2]
APPLICATION = load_application(FOLDER)
ARMS = load_arms()
SESSIONS = 300


def ask(client: httpx.Client, **asked: object) -> dict[str, object]:
    """A decision, looked up."""
    response = client.post("/v1/recommendations", json=asked)
    assert response.status_code == 201, response.text
    return client.get(f"/v1/decisions/{response.json()['decision_id']}").raise_for_status().json()


def test_the_shops_graph_decides_is_logged_and_replays(tmp_path, data_folder):
    """Customer, guest, child and a product that is sold out; then sessions, learning, and 0 mismatches."""
    folder = patient_shop(tmp_path / "shop")
    with (
        started(folder, data_folder, port=free_port(), environ=os.environ) as platform,
        connect(platform.store_url) as store,
        httpx.Client(
            base_url=f"http://127.0.0.1:{platform.port}",
            headers={"authorization": f"Bearer {platform.key}"},
            timeout=30.0,
        ) as client,
    ):
        check_customer(client)
        check_guest(client)
        check_child(client)
        check_sold_out(client)
        learn_from_sessions(platform)
        wait_until_learnt(store, APPLICATION, deadline_s=60.0, look=lambda _: platform.check())
        until(lambda: is_served(store), 60.0, "the sidecar has what was published")
        learnt = ask(client, session_id="late", unit_id="u-001", context={"hour": 9})
        assert (learnt["cold"], learnt["source"]) == (False, "model")
        wait_until_learnt(store, APPLICATION, deadline_s=60.0, look=lambda _: platform.check())
        shown = str(learnt["decision_id"])
    assert run("replay", folder, data_folder).split("mismatches")[1].split()[0] == "0"
    assert "in_budget" in run("show", folder, data_folder, shown)


def check_customer(client: httpx.Client) -> None:
    found = ask(client, session_id="one", unit_id="u-001", context={"device": "ios", "hour": 21})
    assert found["context"] == {"device": "ios", "hour": 21.0, "segment": "student", "hour_band": "evening"}
    assert set(found["outcomes"].items()) >= {
        ("sold_out", "ok"),
        ("closed", "ok"),
        ("not_for_children", "ok"),
        ("segment", "ok"),
        ("scarce", "ok"),
        ("in_budget", "ok"),
    }
    by_arm = {arm["arm"]: arm["features"] for arm in found["arms"]}
    assert by_arm["shoes-acme-low"] == {"scarce": True, "in_budget": False}
    assert by_arm["books-acme-low"] == {"scarce": False, "in_budget": True}
    assert found["excluded"] == {}


def check_guest(client: httpx.Client) -> None:
    found = ask(client, session_id="two", unit_id="nobody", context={"hour": 3})
    assert (found["context"]["segment"], found["outcomes"]["segment"]) == ("guest", "ok")
    assert all(set(arm["features"]) == {"scarce"} for arm in found["arms"])


def check_child(client: httpx.Client) -> None:
    found = ask(client, session_id="three", unit_id="u-child", exclude=["shoes-acme-low"])
    garden = [arm.id for arm in ARMS if arm.features["category"] == "garden"]
    assert found["excluded"] == {
        "shoes-acme-low": "excluded by the request",
        **dict.fromkeys(garden, "not for children"),
    }
    assert [arm["arm"] for arm in found["arms"]] == [
        arm.id for arm in ARMS if arm.id not in found["excluded"]
    ]
    refused = client.post(
        "/v1/recommendations", json={"session_id": "three", "unit_id": "u-child", "arms": garden}
    )
    assert refused.status_code == 422
    assert "not for children (4)" in refused.json()["detail"]


def check_sold_out(client: httpx.Client) -> None:
    lamp = {"id": "lamp", "features": {"brand": "attic"}}
    toys = {"id": "toys-acme-low", "features": {"scarce": "no"}}
    found = ask(
        client, session_id="four", unit_id="u-000", arms=["skates-acme-high", lamp, toys, "a new one"]
    )
    assert found["excluded"] == {"skates-acme-high": "sold out", "lamp": "The Attic is closed"}
    assert found["outcomes"]["scarce"] == "ok"
    assert {arm["arm"]: arm["features"] for arm in found["arms"]} == {
        "toys-acme-low": {"scarce": "no", "in_budget": True},
        "a new one": {},
    }


def is_served(store: redis.Redis) -> bool:
    newest = published_weights(store, "shop").header.version
    return [one.version for one in look(store, "shop").serving] == [newest]


def learn_from_sessions(platform) -> None:
    tally = Tally(len(ARMS), HORIZON_S)
    service = Service("127.0.0.1", platform.port, platform.key, time.monotonic)
    drive = run_sessions(
        service, sessions(9, 0, SESSIONS), ARMS, tally, per_second=200, concurrency=4, seed=9
    )
    asyncio.run(drive)
    assert (len(tally.decided), dict(tally.failed)) == (SESSIONS, {})


def run(command: str, folder: Path, data_folder, *arguments: str) -> str:
    """A command of ``sidearm`` over what was logged."""
    words = [sys.executable, "-m", "decision_service.cli.main", command, *arguments]
    words += ["--app", str(folder), "--data", str(data_folder.root)]
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
