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
    for number in range(200):
        context: dict[str, object] = {
            "hour": (number * 7) % 24,
            "device": ("ios", "android", "web")[number % 3],
        }
        asked: dict[str, object] = {
            "session_id": f"s-{number}",
            "unit_id": f"u-{number % 50}",
            "context": context,
        }
        if number == 199:
            asked = {"session_id": HOSTILE, "context": {"note": HOSTILE, HOSTILE[:40]: "name"}, "limit": 3}
            asked["arms"] = [{"id": HOSTILE}, {"id": "hostile, too"}, {"id": "and another"}]
        answer = client.post("/v1/recommendations", json=asked).raise_for_status().json()
        if number % 3 == 0 or number == 199:
            reward = {"decision_id": answer["decision_id"], "event": "purchase", "reward_id": f"r-{number}"}
            client.post("/v1/rewards", json=reward).raise_for_status()


def nights(platform: Platform) -> None:
    """Four nights' evaluations of a simulated log, as the nightly job files them."""
    folder = platform.data.evaluations("shop")
    place = Path(platform.data.root) / "simulated"
    for night in range(4):
        log = write_log(place / str(night), simulated_rows(1500, seed=night))
        found = evaluate(log, [Uniform(), Logged()], None, Options(against="uniform"))
        file_away(found, folder, dt.date(2026, 3, 1) + dt.timedelta(days=night), 90)
