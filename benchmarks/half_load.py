"""What a caller waits for when the platform is half busy, and whether it grows while it works."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, cast

from benchmarks.figures import Figure, median_of
from benchmarks.servers import DECIDES, platform
from benchmarks.wrk import need_wrk, wrk
from decision_service.cli.platform import Platform
from sidecar.contracts import keys
from sidecar.contracts.node_report import decode_reports, quantile_of, together
from sidecar.contracts.store import connect

LINES = 64
"""Connections, each of which pauses before it asks again."""
ROUNDS = 3
"""Starts differ by a tenth and more; the median of them is told."""
SECONDS = 10
PATH = ("login", "customer", "campaign_of")
"""Fetches of the shop's graph that wait for one another, of a shopper who signs in."""
P50_MS, P99_MS = 3.0, 10.0
MANY = 128
WARM_CALLS, CALLS = 20_000, 200_000
GROWS_AT_MOST = 1.05
"""The allocator's own pieces and the tables of names that were seen."""


class Round(NamedTuple):
    """What was seen of one start."""

    per_s: int
    most_per_s: int
    """At full load, just before."""
    path_ms: float
    p50_ms: float
    p99_ms: float
    """Both with the path."""


def figures(scratch: Path) -> list[Figure]:
    """Latency at half of what the platform can do, over the critical path of its feature graph.

    The path is that of a shopper who signs in, as every other one does, by the median time of each of its
    fetches in the same run; they are decided together with those who wait for one fetch less. Medians are
    taken off both percentiles, so that of the slowest answers only the usual part is the graph's.
    """
    need_wrk()
    rounds = [_round(scratch) for _ in range(ROUNDS)]
    p50_ms = median_of([one.p50_ms - one.path_ms for one in rounds])
    p99_ms = median_of([one.p99_ms - one.path_ms for one in rounds])
    facts: dict[str, object] = {"rounds": [one._asdict() for one in rounds]}
    return [
        _figure("serving.added_p50_ms_at_half_load", p50_ms, P50_MS, facts),
        _figure("serving.added_p99_ms_at_half_load", p99_ms, P99_MS, facts),
    ]


def _round(scratch: Path) -> Round:
    with platform(scratch, DECIDES) as ours:
        wrk(ours.port, MANY, ours.key)  # warm
        most = wrk(ours.port, MANY, ours.key).per_s
    with platform(scratch, DECIDES) as ours:  # whose graph was never as slow as at full load
        each_ms = LINES / (most / 2) * 1e3
        warm = wrk(ours.port, LINES, ours.key, arguments=[f"{each_ms:g}"])
        answer_ms = LINES / warm.per_s * 1e3 - each_ms  # by which it was too slow
        pause_ms = max(each_ms - answer_ms, 0.0)
        run = wrk(ours.port, LINES, ours.key, SECONDS, arguments=[f"{pause_ms:g}"])
        path_ms = sum(_fetches_ms(ours))
    return Round(round(run.per_s), round(most), round(path_ms, 2), run.p50_ms, run.p99_ms)


def _fetches_ms(ours: Platform) -> list[float]:
    """The median time of each fetch of the path, by the latest word of the service."""
    with connect(ours.store_url) as client:
        stored = client.hgetall(keys.nodes(ours.application.name))
    nodes = together(decode_reports(cast("dict[bytes, bytes]", stored)).values()).nodes
    return [quantile_of(nodes[name].took, 0.5) or 0.0 for name in PATH]


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
