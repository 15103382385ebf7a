"""Clocks an hour off, the caller's and the service's: the store's decides, and nothing is lost or refused."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from decision_service.cli.store import start_store
from tests.decision_service.platform import platform
from tests.decision_service.test_store_faults import SHORT, drained
from tests.waiting import until

HOUR_S = 3600
OFF = """
import os, time
_real_ns = time.time_ns
time.time_ns = lambda: _real_ns() + int(os.environ["OFF_S"]) * 1_000_000_000
"""


def test_a_callers_clock_is_recorded_and_decides_nothing():
    """A purchase that says it was made before the decision, or will be made after its horizon."""
    with platform(sidecar=False) as shop:
        for off_s in (-HOUR_S, HOUR_S):
            made = shop.recommend(horizon_s=60.0).json()
            at = (datetime.now(UTC) + timedelta(seconds=off_s)).isoformat()
            of = {"decision_id": made["decision_id"], "event": "purchase", "reward_id": "r"}
            assert shop.reward(**of, occurred_at=at).json()["status"] == "accepted"
            (reward,) = shop.decision(made["decision_id"])["rewards"]
            assert abs(datetime.fromisoformat(reward["at"]) - datetime.now(UTC)) < timedelta(minutes=5)


@pytest.mark.slow
@pytest.mark.parametrize("off_s", [-HOUR_S, HOUR_S])
def test_a_services_clock_is_an_hour_off(off_s, tmp_path):
    """Decisions, rewards, the spool and its draining are as ever: horizons are told by the store's clock."""
    (tmp_path / "sitecustomize.py").write_text(OFF)
    environ = {**SHORT, "PYTHONPATH": str(tmp_path), "OFF_S": str(off_s)}
    with platform(environ=environ) as shop:
        before = shop.recommend(session_id="s").json()
        until_s = datetime.fromisoformat(before["reward_until"]).timestamp()
        shop.store_server.kill()
        during = shop.recommend(session_id="t").json()
        told = shop.reward(decision_id=during["decision_id"], event="purchase", reward_id="r").json()
        with start_store(shop.data):
            until(lambda: drained(shop))
            found = shop.decision(during["decision_id"])
            receipt = shop.reward(decision_id=before["decision_id"], event="view", reward_id="q").json()

    assert before["source"] == during["source"] == "model"
    assert abs(until_s - time.time() - HOUR_S) < 300
    assert (told["spooled"], receipt["status"]) == (True, "accepted")
    assert [one["reward_id"] for one in found["rewards"]] == ["r"]
