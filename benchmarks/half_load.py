"""What a caller waits for when the platform is half busy, and whether it grows while it works."""

from __future__ import annotations

from pathlib import Path

from benchmarks.figures import Figure
from benchmarks.servers import DECIDES, platform
from benchmarks.wrk import need_wrk, wrk
from decision_service.cli.platform import Platform

LINES = 64
"""Connections, each of which pauses before it asks again."""
SECONDS = 15
GUESSED_MS = 4.0
"""What an answer takes: with the pause it makes the pace."""
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
        wrk(ours.port, MANY, ours.key)  # warm
        most = wrk(ours.port, MANY, ours.key).per_s
        pause_ms = LINES / (most / 2) * 1e3 - GUESSED_MS
        run = wrk(ours.port, LINES, ours.key, SECONDS, arguments=[f"{pause_ms:g}"])
    facts: dict[str, object] = {"per_s": round(run.per_s), "most_per_s": round(most)}
    return [
        _figure("serving.p50_ms_at_half_load", run.p50_ms, P50_MS, facts),
        _figure("serving.p99_ms_at_half_load", run.p99_ms, P99_MS, facts),
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


def _figure(name: str, took_ms: float, most_ms: float, facts: dict[str, object]) -> Figure:
    return Figure(name, took_ms, "ms", most_ms, "ms that it may take", at_most=1.0, facts=facts)
