"""The platforms that the browser visits, and what happened there before."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from decision_service.cli.platform import Platform, started
from offline_eval.evaluate import Options, evaluate
from offline_eval.filing import file_away
from offline_eval.target_policy import Logged, Uniform
from sidecar.contracts.layout import DataFolder
from tests.offline_eval.logs import simulated_rows, write_log
from tests.processes import ROOT, short_folder

HOSTILE = '<img src=x onerror="window.pwned=1">\'"</script><script>window.pwned=1</script>'
"""As a session's id, in a context, and as an arm's name."""
FAST = {
    "SIDEARM_LEARNER_ARCHIVE_EVERY_S": "0.5",
    "SIDEARM_DECISION_SERVICE_WORKERS": "1",
    "SIDEARM_DECISION_SERVICE_DEADLINE_MS": "2000",
}


@contextmanager
def running(parts: tuple[str, ...]) -> Iterator[Platform]:
    folder = short_folder()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environ = {
        name: value for name, value in os.environ.items() if not name.startswith(("SIDEARM_", "REDIS_"))
    }
    try:
        with started(
            ROOT / "examples" / "shop", DataFolder(folder), port=port, environ=environ | FAST, parts=parts
        ) as platform:
            yield platform
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def sell(client: httpx.Client) -> None:
    """Two hundred sessions, a third of whom buy; one of them hostile."""
    asked = [_session(number) for number in range(200)]
    asked[-1] = {
        "session_id": HOSTILE,
        "context": {"note": HOSTILE, HOSTILE[:40]: "name"},
        "limit": 3,
        "arms": [{"id": HOSTILE}, {"id": "hostile, too"}, {"id": "and another"}],
    }
    decided = []
    for start in range(0, len(asked), 50):
        answer = client.post("/v1/recommendations/batch", json={"requests": asked[start : start + 50]})
        decided += [one["recommendation"] for one in answer.raise_for_status().json()["results"]]
    rewards = [
        {"decision_id": one["decision_id"], "event": "purchase", "reward_id": f"r-{one['decision_id']}"}
        for one in [*decided[::3], decided[-1]]
    ]
    client.post("/v1/rewards/batch", json={"rewards": rewards}).raise_for_status()


def _session(number: int) -> dict[str, object]:
    device = ("ios", "android", "web")[number % 3]
    context = {"hour": (number * 7) % 24, "device": device}
    return {"session_id": f"s-{number}", "unit_id": f"u-{number % 50}", "context": context}


def nights(platform: Platform) -> None:
    """Four nights' evaluations of a simulated log, as the nightly job files them."""
    folder = platform.data.evaluations("shop")
    place = Path(platform.data.root) / "simulated"
    for night in range(4):
        log = write_log(place / str(night), simulated_rows(1000, seed=night))
        found = evaluate(log, [Uniform(), Logged()], None, Options(against="uniform"))
        file_away(found, folder, dt.date(2026, 3, 1) + dt.timedelta(days=night), 90)
