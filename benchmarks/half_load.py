"""What a caller waits for when the platform is half busy, and whether it grows while it works."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path

from benchmarks.figures import Figure
from benchmarks.learner.client import Line
from benchmarks.servers import DECIDES, platform
from benchmarks.wrk import need_wrk, wrk
from decision_service.cli.platform import Platform

LINES = 16
SECONDS = 15.0
P50_MS, P99_MS = 3.0, 10.0
MANY = 128
WARM_CALLS, CALLS = 20_000, 200_000
GROWS_AT_MOST = 1.05
"""The allocator's own pieces and the tables of names that were seen."""


def figures(scratch: Path) -> list[Figure]:
    """Latency at half of what the platform can do.

    The feature graph is not subtracted, so this is more than what is added to it.
    """
    need_wrk()
    with platform(scratch, DECIDES) as ours:
        most = wrk(ours.port, MANY, ours.key).per_s
        took_ms = sorted(asyncio.run(paced(ours, most / 2)))
    facts = {"per_s": round(len(took_ms) / SECONDS), "most_per_s": round(most)}
    return [
        _figure("serving.p50_ms_at_half_load", took_ms[len(took_ms) // 2], P50_MS, facts),
        _figure("serving.p99_ms_at_half_load", took_ms[len(took_ms) * 99 // 100], P99_MS, facts),
    ]


def memory_figures(scratch: Path) -> list[Figure]:
    """Resident memory after 200,000 decisions beside that after the first 20,000."""
    need_wrk()
    with platform(scratch, DECIDES) as ours:
        warm = _after(ours, WARM_CALLS)
        end = _after(ours, CALLS - WARM_CALLS)
    return [
        Figure(
            f"serving.memory_of_{name}",
            end[name],
            "MB",
            warm[name],
            f"MB after {WARM_CALLS:,} decisions",
            at_most=GROWS_AT_MOST,
            facts={"decisions": CALLS},
        )
        for name in ("service", "sidecar")
    ]


def _after(ours: Platform, calls: int) -> dict[str, float]:
    while calls > 0:
        calls -= wrk(ours.port, MANY, ours.key).calls
    return {part.name: _resident_mb(part.child.pid) for part in ours.parts}


def _resident_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024


async def paced(ours: Platform, per_s: float) -> list[float]:
    """Milliseconds of each decision, asked at a steady pace over some connections."""
    took: list[float] = []
    end = time.perf_counter() + SECONDS
    await asyncio.gather(*(_line(ours, number, LINES / per_s, end, took) for number in range(LINES)))
    return took


async def _line(ours: Platform, number: int, period_s: float, end: float, took: list[float]) -> None:
    """What is late is not made up for, so that no burst hides what was."""
    line, rng = await Line.open(ours.port, ours.key), random.Random(number)
    due = time.perf_counter() + rng.random() * period_s
    count = 0
    while due < end:
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        count += 1
        body: dict[str, object] = {
            "session_id": f"half-{number}-{count}",
            "unit_id": f"u-{rng.randrange(101):03d}",
            "context": {"device": "ios", "hour": rng.randrange(24), "visits": rng.randrange(11)},
        }
        began = time.perf_counter()
        await line.post("/v1/recommendations", body)
        now = time.perf_counter()
        took.append((now - began) * 1e3)
        due = max(due + period_s, now)
    line.close()


def _figure(name: str, took_ms: float, most_ms: float, facts: dict[str, object]) -> Figure:
    return Figure(name, took_ms, "ms", most_ms, "ms that it may take", at_most=1.0, facts=facts)
