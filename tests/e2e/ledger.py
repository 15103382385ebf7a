"""What callers were told, held against the Parquet log, the books and the published weights."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pyarrow.dataset as ds
import redis

from sidecar.contracts.keys import weights
from sidecar.contracts.layout import DataFolder
from sidecar.contracts.weights import decode_weights
from tests.e2e.callers import Caller
from tests.e2e.platform import Platform
from tests.processes import ROOT

Rows = list[dict[str, object]]


def spooled(data: DataFolder) -> list[Path]:
    """What a service answered and only it knows of: the store is to hear of it yet."""
    return list(data.spool("kill").glob("*/*.spool"))


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
        lost = {told: arms.get(told) for told, arm in caller.decided.items() if arms.get(told) != arm}
        assert not lost, f"told, and not so in the log: {lost}"


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


def check_replay(platform: Platform, environ: Mapping[str, str] | None = None) -> None:
    """Weights rebuilt from the log, over all restarts, equal the published ones; so do scores and draws."""
    command = [sys.executable, "-m", "decision_service.cli.main", "replay"]
    command += ["--app", str(platform.application), "--data", str(platform.data.root)]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, env={**os.environ, **(environ or {})}
    )
    assert done.returncode == 0, done.stdout + done.stderr
