"""Every process is killed in turn under load; nothing is lost and nothing is double."""

from __future__ import annotations

import itertools
import random
import socket
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import httpx
import pyarrow.dataset as ds
import pytest
import redis

from sidecar.contracts.books import books, counters_of
from sidecar.contracts.keys import Keys, weights
from sidecar.contracts.layout import DataFolder
from sidecar.contracts.weights import decode_weights
from tests.e2e.platform import Platform, write_application
from tests.processes import ROOT, Processes
from tests.waiting import until

PARTITIONS = 2
CALLERS = 6
BETWEEN_KILLS = 150
GIVE_UP_S = 60.0


class Caller(threading.Thread):
    """Asks and rewards, and repeats each call under its own key until it is answered."""

    def __init__(self, platform: Platform, number: int, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self._platform, self._number, self._stop_asked = platform, number, stop
        self._rng = random.Random(number)
        self.decided: dict[str, str] = {}
        """Decision id to the arm that the answer named."""
        self.rewarded: dict[str, tuple[str, float]] = {}
        """Reward id to decision id and value."""
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            with httpx.Client(base_url=self._platform.url, timeout=5.0) as client:
                client.headers["Authorization"] = f"Bearer {self._platform.key}"
                for n in itertools.count():
                    if self._stop_asked.is_set():
                        return
                    self._session(client, n)
        except BaseException as error:  # shown by the test, which joins the thread
            self.failure = error

    def _session(self, client: httpx.Client, n: int) -> None:
        session = f"s-{self._number}-{n}"
        body = {
            "session_id": session,
            "decision_id": "first",
            "context": {"n": n % 5, "who": f"w{self._number}"},
        }
        decision = self._insist(client, "/v1/recommendations", body, 201)
        self.decided[decision["decision_id"]] = decision["arm"]
        if self._rng.random() < 0.5:
            value = float(self._number * 1_000_000 + n + 1)
            value = value / 1e7
            reward = {"decision_id": decision["decision_id"], "reward": value, "event": "purchase"}
            self._insist(client, "/v1/rewards", reward | {"reward_id": session}, 202)
            self.rewarded[session] = (decision["decision_id"], value)

    def _insist(
        self, client: httpx.Client, path: str, body: dict[str, object], wanted: int
    ) -> dict[str, str]:
        def answered() -> httpx.Response | None:
            try:
                reply = client.post(path, json=body)
            except httpx.HTTPError:
                return None
            if reply.status_code < 500:
                return reply
            return None

        reply = until(answered, GIVE_UP_S, f"{path} answered", poll_s=0.02)
        assert reply.status_code == wanted, reply.text
        return dict(reply.json())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.slow
def test_killing_each_process_under_load_loses_and_doubles_nothing(
    tmp_path: Path, data_folder: DataFolder, processes: Processes
) -> None:
    """Books balance; every decision has one row and one training effect, every reward one place."""
    application = write_application(tmp_path / "app", horizon_s=1.0, partitions=PARTITIONS)
    platform = Platform(processes, application, data_folder, free_port())
    platform.start_all()
    try:
        callers = load_while_killing(platform, ["learner", "sidecar", "service", "store", "learner", "store"])
        client = redis.Redis.from_url(platform.store.url)
        keys = [Keys("kill", p) for p in range(PARTITIONS)]
        until(
            lambda: not any(client.zcard(k.due) + client.zcard(k.orphans) for k in keys),
            30.0,
            "all finalised",
        )
        assert platform.stop("learner") == 0, platform.output("learner")
        counted = [counters_of(client.hgetall(k.counters)) for k in keys]
        assert all(books(c, pending=0, awaited=0, open_rewards=0).balanced for c in counted), counted
        rows, late = logged(data_folder)
        check_decisions(callers, rows, counted)
        check_rewards(callers, rows, late)
        check_training(client, rows)
    finally:
        for name in ("service", "sidecar", "store"):
            platform.stop(name)
    check_replay(platform)


def load_while_killing(platform: Platform, victims: list[str]) -> list[Caller]:
    """Callers that are done, after each victim was killed while they asked, and started again."""
    stop = threading.Event()
    callers = [Caller(platform, number, stop) for number in range(CALLERS)]
    for caller in callers:
        caller.start()
    try:
        for victim in victims:
            progress(callers, BETWEEN_KILLS)
            platform.kill(victim)
            platform.start(victim)
        progress(callers, BETWEEN_KILLS)
    finally:
        stop.set()
        for caller in callers:
            caller.join(GIVE_UP_S)
    assert [c.failure for c in callers] == [None] * CALLERS
    assert not any(c.is_alive() for c in callers)
    return callers


def progress(callers: list[Caller], decisions: int) -> None:
    """Until so many more decisions have been answered."""
    goal = sum(len(c.decided) for c in callers) + decisions
    until(
        lambda: sum(len(c.decided) for c in callers) >= goal or any(c.failure for c in callers),
        GIVE_UP_S,
        "load",
    )


Rows = list[dict[str, object]]


def logged(data: DataFolder) -> tuple[Rows, Rows]:
    """Decisions and late rewards in Parquet."""
    log = data.log("kill")
    wanted = ["decision_id", "arm", "reward", "reward_source_n", "learn"]
    decisions = ds.dataset(log / "decisions", partitioning="hive").to_table(columns=wanted).to_pylist()
    late = log / "late"
    if not late.exists() or not any(late.rglob("*.parquet")):
        return decisions, []
    return decisions, ds.dataset(late, partitioning="hive").to_table().to_pylist()


def check_decisions(callers: list[Caller], rows: Rows, counted: list[dict[str, int]]) -> None:
    """One row each; an answer that nobody heard may have one too, since the store had it."""
    times = Counter(row["decision_id"] for row in rows)
    assert max(times.values()) == 1
    assert len(rows) == sum(c["dec"] for c in counted)
    arms = {row["decision_id"]: row["arm"] for row in rows}
    for caller in callers:
        assert caller.decided.items() <= arms.items()


def check_rewards(callers: list[Caller], rows: Rows, late: Rows) -> None:
    """A reward is the one of its row or stands in the late log, never both."""
    joined = {row["decision_id"]: row["reward"] for row in rows if row["reward_source_n"]}
    kept = Counter(row["reward_key"] for row in late)
    sent = {key: told for caller in callers for key, told in caller.rewarded.items()}
    assert sent
    for key, (decision_id, value) in sent.items():
        assert (joined.get(decision_id) == value) + kept[key] == 1, (key, decision_id, value)
    assert sum(int(str(row["reward_source_n"])) for row in rows) == len(joined)


def check_training(client: redis.Redis, rows: Rows) -> None:
    """The published weights say how many examples made them: each row once."""
    record = client.hget(weights("kill"), "record")
    assert decode_weights(record).header.examples == sum(bool(row["learn"]) for row in rows)


def check_replay(platform: Platform) -> None:
    """Weights rebuilt from the log, over all restarts, equal the published ones; so do scores and draws."""
    command = [sys.executable, "-m", "decision_service.cli.main", "replay"]
    command += ["--app", str(platform.application), "--data", str(platform.data.root)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
