"""From an acknowledged reward to weights in the sidecar that have learnt from it, in mode earliest.

All processes of the platform run on this machine, and a client of one process asks them through HTTP for a
thousand decisions a second and tells fifty rewards a second. Every decision's answer names the version that
scored it, so the answers are the clock by which versions are seen; which version has learnt from a reward is
in the version log, by the position of the reward's entry.
"""

from __future__ import annotations

import asyncio
import itertools
import statistics
import tempfile
import time
from bisect import bisect_left
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.figures import Figure
from benchmarks.learner.client import Line, answers, decide_at_a_pace
from benchmarks.learner.scene import Scene, scene
from benchmarks.learner.workload import APP, Workload
from decision_service.auth import ensure_development_key
from decision_service.cli.platform import free_port
from sidecar.contracts import keys as app_keys
from sidecar.contracts.log_files import order
from sidecar.contracts.scripts.publish import decode_batches

WORKLOAD = Workload(arms=10, partitions=4, mode="earliest", horizon_s=5.0)
DECISIONS_PER_S, REWARDS_PER_S = 1000, 50
WARM_S, SECONDS = 8.0, 20.0
P50_MS, P99_MS = 100.0, 300.0
_CONNECTIONS = 16
_PARTS = ("sidecar.server", "policy_learner", "policy_learner.joiner", "policy_learner.archiver")


def figures() -> list[Figure]:
    """Median and 99th percentile over all rewards after the warm-up."""
    settings = {"archiver": "apart", "trim_keep_s": 3600.0}
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        scene(WORKLOAD, Path(folder) / "s", **settings) as stage,
    ):
        seen = _load(stage)
        waits = sorted(_waits(stage, seen))
    p50, p99 = statistics.median(waits), waits[round(0.99 * (len(waits) - 1))]
    facts = {
        "rewards": len(waits),
        "decisions_per_s": round(len(seen.versions) / (WARM_S + SECONDS)),
        "p99_of_a_decision_ms": round(statistics.quantiles(seen.took_ms, n=100)[98], 1),
    }
    return [
        Figure("learner.fresh_p50_ms", p50, "ms", P50_MS, "the limit", at_most=1.0, facts=facts),
        Figure("learner.fresh_p99_ms", p99, "ms", P99_MS, "the limit", at_most=1.0, facts=facts),
    ]


@dataclass
class Seen:
    """What the client saw."""

    versions: list[tuple[float, int]] = field(default_factory=list)
    """When each decision was answered, by which version."""
    acknowledged: dict[str, float] = field(default_factory=dict)
    """Decision to when its reward was acknowledged."""
    took_ms: list[float] = field(default_factory=list)
    waiting: deque[str] = field(default_factory=lambda: deque(maxlen=500))
    """Decisions that may be rewarded."""

    def hear(self, began: float, now: float, answer: dict[str, object]) -> None:
        """Note a decision."""
        self.versions.append((now, int(str(answer["model_version"]))))
        self.took_ms.append((now - began) * 1000)
        self.waiting.append(str(answer["decision_id"]))


def _load(stage: Scene) -> Seen:
    key, port = ensure_development_key(stage.data.keys), free_port()
    for module in _PARTS:
        stage.start(module)
    stage.start("decision_service", SIDEARM_DECISION_SERVICE_PORT=str(port))
    stage.wait(lambda: answers(f"http://127.0.0.1:{port}/readyz"), "the start", 0.05)
    return asyncio.run(_drive(port, key))


async def _drive(port: int, key: str) -> Seen:
    """The load."""
    seen, numbers, period_s = Seen(), itertools.count(), (_CONNECTIONS - 1) / DECISIONS_PER_S
    lines = [await Line.open(port, key) for _ in range(_CONNECTIONS)]
    began = time.perf_counter()
    end = began + WARM_S + SECONDS
    await asyncio.gather(
        *(decide_at_a_pace(line, numbers, period_s, end, seen.hear) for line in lines[1:]),
        _reward(lines[0], seen, began + WARM_S, end),
    )
    for line in lines:
        line.close()
    return seen


async def _reward(line: Line, seen: Seen, measured_from: float, end: float) -> None:
    due = time.perf_counter() + 1.0
    while due < end - 1.0:  # the last ones must be seen too
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        decision = seen.waiting.popleft()
        body = {"decision_id": decision, "event": "purchase", "reward_id": "k"}
        answer = await line.post("/v1/rewards", body)
        now = time.perf_counter()
        if answer["status"] == "accepted" and now >= measured_from:
            seen.acknowledged[decision] = now
        due = max(due + 1 / REWARDS_PER_S, now)


def _waits(stage: Scene, seen: Seen) -> list[float]:
    """Milliseconds for each reward, from its acknowledgement to the first answer by weights that have it."""
    learnt_in = _versions_of(stage, set(seen.acknowledged))
    times, newest = [at for at, _ in seen.versions], 0
    first_seen: list[tuple[int, float]] = []  # version and when it, or a later one, first answered
    for at, version in seen.versions:
        if version > newest:
            newest = version
            first_seen.append((version, at))
    found = []
    for decision, at in seen.acknowledged.items():
        place = bisect_left(first_seen, (learnt_in[decision], 0.0))
        served = first_seen[place][1] if place < len(first_seen) else times[-1]
        found.append(max(0.0, served - at) * 1000)
    return found


def _versions_of(stage: Scene, decisions: set[str]) -> dict[str, int]:
    """Decision to the first version that was trained on its entry of kind E."""
    log = stage.client.xrange(app_keys.weights_log(APP))
    stretches: dict[int, list[tuple[tuple[int, int], int]]] = {}
    for _, fields in log:
        for batch in decode_batches(fields[b"batches"]):
            stretches.setdefault(batch.partition, []).append((order(batch.last), int(fields[b"version"])))
    found = {}
    for keys in stage.partitions:
        for position, fields in stage.client.xrange(keys.examples):
            decision = fields[b"i"].decode()
            if fields[b"k"] == b"E" and decision in decisions:
                ends = stretches[keys.partition]
                found[decision] = ends[bisect_left(ends, (order(position.decode()), 0))][1]
    return found
