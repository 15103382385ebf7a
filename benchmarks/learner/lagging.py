"""The model lags and the API does not notice: a decision's time with a trainer ten times slower, and with one
that cannot keep up at all, beside the same with the trainer as it is.

All processes of the platform run on this machine with a durable store. A client asks for five hundred
decisions a second through HTTP; each is an example a second later. Ten times slower, VW burns ten times the
processor time; where it cannot keep up it waits, so that what is seen is not the want of a third core.
"""

from __future__ import annotations

import asyncio
import itertools
import statistics
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks.figures import Figure, median_of
from benchmarks.learner.client import Line, answers, decide_at_a_pace
from benchmarks.learner.scene import Scene, scene
from benchmarks.learner.workload import Workload
from decision_service.auth import ensure_development_key
from decision_service.cli.platform import free_port

WORKLOAD = Workload(arms=10, partitions=4, horizon_s=1.0)
DECISIONS_PER_S = 500
WARM_S, SECONDS, ROUNDS = 4.0, 12.0, 3
SLOWNESS = {"": "as it is", "10:burn": "ten times slower", "200:wait": "cannot keep up"}
_CONNECTIONS = 16


class Run(NamedTuple):
    """What was seen with one trainer."""

    p50_ms: float
    p99_ms: float
    answered: int
    learnt: int
    lag_ms: float
    """Age of the oldest example that no published version has seen, at the end."""


def figures() -> list[Figure]:
    """99th percentiles, in turns."""
    rounds = [{slow: _run(slow) for slow in SLOWNESS} for _ in range(ROUNDS)]
    as_it_is = [one[""] for one in rounds]
    return [
        _figure("serving.p99_ms_trainer_tenfold_slower", [one["10:burn"] for one in rounds], as_it_is),
        _figure("serving.p99_ms_trainer_outrun", [one["200:wait"] for one in rounds], as_it_is),
    ]


def _figure(name: str, slow: list[Run], as_it_is: list[Run]) -> Figure:
    ours, theirs = (median_of([run.p99_ms for run in runs]) for runs in (slow, as_it_is))
    facts: dict[str, object] = {
        "p50_ms": [round(median_of([run.p50_ms for run in runs]), 2) for runs in (slow, as_it_is)],
        "p99_ms_of_each_run": [[round(run.p99_ms, 1) for run in runs] for runs in (slow, as_it_is)],
        "answered_and_learnt": [
            [slow[-1].answered, slow[-1].learnt],
            [as_it_is[-1].answered, as_it_is[-1].learnt],
        ],
        "lag_ms": [slow[-1].lag_ms, as_it_is[-1].lag_ms],
    }
    return Figure(name, ours, "ms", theirs, "the trainer as it is", facts=facts)


def _run(slow: str) -> Run:
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        scene(WORKLOAD, Path(folder) / "s", status_every_s=0.2) as stage,
    ):
        key, port = ensure_development_key(stage.data.keys), free_port()
        stage.start("sidecar.server")
        stage.start("benchmarks.learner.slow_learner" if slow else "policy_learner", BENCH_SLOW=slow)
        stage.start("decision_service", SIDEARM_DECISION_SERVICE_PORT=str(port))
        stage.wait(lambda: answers(f"http://127.0.0.1:{port}/readyz"), "the start", 0.05)
        stage.wait(lambda: stage.status("state") == "running", "the learner's start", 0.05)
        took = sorted(asyncio.run(_drive(port, key)))
        p99 = statistics.quantiles(took, n=100)[98]
        return Run(statistics.median(took), p99, len(took), int(stage.status("examples")), _lag_ms(stage))


def _lag_ms(stage: Scene) -> float:
    return float(stage.status("lag_ms") or 0)


async def _drive(port: int, key: str) -> list[float]:
    """Milliseconds of each decision after the warm-up."""
    took: list[float] = []
    numbers, period_s = itertools.count(), _CONNECTIONS / DECISIONS_PER_S
    lines = [await Line.open(port, key) for _ in range(_CONNECTIONS)]
    measured_from = time.perf_counter() + WARM_S

    def hear(began: float, now: float, _answer: dict[str, object]) -> None:
        if now >= measured_from:
            took.append((now - began) * 1000)

    end = measured_from + SECONDS
    await asyncio.gather(*(decide_at_a_pace(line, numbers, period_s, end, hear) for line in lines))
    for line in lines:
        line.close()
    return took
