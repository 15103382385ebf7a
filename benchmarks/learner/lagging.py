"""The model lags and the API does not notice: a decision's time with a trainer ten times slower, and with one
that cannot keep up at all, beside the same with the trainer as it is.

All processes of the platform run on this machine with a durable store. A client asks for five hundred
decisions a second through HTTP; each is an example a second later. Ten times slower, VW burns ten times the
processor time; where it cannot keep up it waits, so that what is seen is not the want of a third core.

A machine's pauses come and go by the minute, and a few of them make a 99th percentile. So it is one platform
whose trainer is told from second to second what it is, in many short stretches and in an order that is drawn
anew for each round; of every round there is one ratio, and their median has an interval that holds whatever
the ratios are distributed like.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.figures import Figure
from benchmarks.learner.client import Line, answers, decide_at_a_pace
from benchmarks.learner.scene import Scene, scene
from benchmarks.learner.workload import Workload
from decision_service.auth import ensure_development_key
from decision_service.cli.platform import free_port

WORKLOAD = Workload(arms=10, partitions=4, horizon_s=1.0)
DECISIONS_PER_S = 500
WARM_S, SETTLE_S, SECONDS, ROUNDS = 3.0, 1.5, 3.0, 14
AS_IT_IS, TENFOLD, OUTRUN = "1 wait", "10 burn", "200 wait"
_CONNECTIONS = 16


class Stretch(NamedTuple):
    """What was seen with the trainer in one manner, for some seconds."""

    p50_ms: float
    p99_ms: float
    decisions: int
    lag_ms: float
    """Age of the oldest example that no published version has seen, at the end."""


Round = dict[str, Stretch]


class Interval(NamedTuple):
    """A median and where it lies."""

    low: float
    median: float
    high: float


def figures() -> list[Figure]:
    """Medians of 99th percentiles, and of their ratios."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        scene(WORKLOAD, Path(folder) / "s", status_every_s=0.2) as stage,
    ):
        rounds = _run(stage, Path(folder) / "manner")
    return [
        _figure("serving.p99_ms_trainer_tenfold_slower", rounds, TENFOLD),
        _figure("serving.p99_ms_trainer_outrun", rounds, OUTRUN),
    ]


def interval_of(values: Sequence[float]) -> Interval:
    """The median, and a 95 % interval of it: the binomial one of two of the values.

    >>> interval_of(range(1, 15))
    Interval(low=3, median=7.5, high=12)
    """
    ordered, n = sorted(values), len(values)
    below, count = 0.0, 0  # of those that may lie outside at each end
    while (below := below + _chance(n, count)) <= 0.025:
        count += 1
    return Interval(ordered[count - 1], statistics.median(ordered), ordered[n - count])


def _chance(n: int, k: int) -> float:
    ways = 1
    for i in range(k):
        ways = ways * (n - i) // (i + 1)
    return float(ways / 2**n)


def _figure(name: str, rounds: Sequence[Round], manner: str) -> Figure:
    slow, as_it_is = ([one[which] for one in rounds] for which in (manner, AS_IT_IS))
    ratios = [ours.p99_ms / theirs.p99_ms for ours, theirs in zip(slow, as_it_is, strict=True)]
    facts: dict[str, object] = {
        "rounds": len(rounds),
        "decisions_a_stretch": round(statistics.median([one.decisions for one in slow])),
        "ratio_of_a_round": [round(x, 3) for x in interval_of(ratios)],
        "p99_ms": [[round(x, 2) for x in interval_of([o.p99_ms for o in of])] for of in (slow, as_it_is)],
        "p50_ms": [round(statistics.median([one.p50_ms for one in of]), 2) for of in (slow, as_it_is)],
        "lag_ms": [round(statistics.median([one.lag_ms for one in of])) for of in (slow, as_it_is)],
    }
    ours, theirs = (statistics.median([one.p99_ms for one in of]) for of in (slow, as_it_is))
    return Figure(name, ours, "ms", theirs, "the trainer as it is", facts=facts)


def _run(stage: Scene, manner: Path) -> list[Round]:
    key, port = ensure_development_key(stage.data.keys), free_port()
    _tell(manner, AS_IT_IS)
    stage.start("sidecar.server")
    stage.start("benchmarks.learner.slow_learner", BENCH_SLOW=str(manner))
    stage.start("decision_service", SIDEARM_DECISION_SERVICE_PORT=str(port))
    stage.wait(lambda: answers(f"http://127.0.0.1:{port}/readyz"), "the start", 0.05)
    stage.wait(lambda: stage.status("state") == "running", "the learner's start", 0.05)
    return asyncio.run(_drive(stage, manner, port, key))


async def _drive(stage: Scene, manner: Path, port: int, key: str) -> list[Round]:
    took: list[float] = []
    numbers, period_s = itertools.count(), _CONNECTIONS / DECISIONS_PER_S
    lines = [await Line.open(port, key) for _ in range(_CONNECTIONS)]
    stretches = 3 * ROUNDS
    end = time.perf_counter() + WARM_S + stretches * (SETTLE_S + SECONDS)

    def hear(began: float, now: float, _answer: dict[str, object]) -> None:
        took.append((now - began) * 1000)

    clients = [asyncio.create_task(decide_at_a_pace(line, numbers, period_s, end, hear)) for line in lines]
    await asyncio.sleep(WARM_S)
    rounds = [await _round(stage, manner, number, took) for number in range(ROUNDS)]
    for client in clients:
        client.cancel()
    await asyncio.gather(*clients, return_exceptions=True)
    for line in lines:
        line.close()
    return rounds


def _tell(manner: Path, which: str) -> None:
    manner.write_text(which)


async def _round(stage: Scene, manner: Path, number: int, took: list[float]) -> Round:
    """Each manner once; what comes just after a change counts for nobody."""
    found: Round = {}
    for which in random.Random(number).sample((AS_IT_IS, TENFOLD, OUTRUN), 3):
        _tell(manner, which)
        await asyncio.sleep(SETTLE_S)
        took.clear()
        await asyncio.sleep(SECONDS)
        seen = list(took)
        p99 = statistics.quantiles(seen, n=100)[98]
        found[which] = Stretch(statistics.median(seen), p99, len(seen), float(stage.status("lag_ms") or 0))
    return found
