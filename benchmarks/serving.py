"""Decisions through HTTP with everything on, beside an endpoint that only echoes, and the rungs between them.

Feature graph with its tables in the store, scoring of twenty arms, durable log: all processes that a decision
waits for. Client, store and they share the machine with the yardstick's run, which takes turns with ours;
each server has one process, but for what a decision needs of others. The learner, of which no answer waits,
takes what is left of the machine; what it takes on two cores that are full already is a figure of its own.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.figures import Figure, median_of
from benchmarks.processor import micros_a_request
from benchmarks.servers import DECIDES, Rung, beside_echo, ladder
from benchmarks.wrk import Run, need_wrk, wrk
from decision_service.cli.platform import ALL

ROUNDS = 3
MANY, SOME = 128, 32
ECHO = "FastAPI echo of a pydantic body"
AT_LEAST = {MANY: 0.8, SOME: 0.45}
P50_MS, P99_MS = 2.0, 5.0
"""Of one request at a time."""


def at_many(scratch: Path) -> list[Figure]:
    """Decisions per second at 128 connections, and the ladder beside them.

    Raises:
        WrkMissing: with how to get it.
    """
    need_wrk()
    with ladder(scratch) as rungs:
        seen = rounds(rungs, MANY)
        cost = cost_of(rungs[-1])
    return [
        _speed("serving.decisions_per_s", seen, "ours", AT_LEAST[MANY])._replace(facts=cost),
        _speed("serving.unlogged_per_s", seen, "unlogged"),
        _speed("serving.bare_asgi_per_s", seen, "bare"),
        _latency("serving.p50_ms_at_128", seen, "p50_ms"),
        _latency("serving.p99_ms_at_128", seen, "p99_ms"),
    ]


def at_some(scratch: Path) -> list[Figure]:
    """Decisions per second at 32 connections."""
    with beside_echo(scratch, DECIDES) as rungs:
        return [_speed("serving.decisions_per_s_at_32", rounds(rungs, SOME), "ours", AT_LEAST[SOME])]


def one_at_a_time(scratch: Path) -> list[Figure]:
    """Latency of a caller who is alone."""
    with beside_echo(scratch, DECIDES) as rungs:
        seen = rounds(rungs, 1)
    return [
        _latency("serving.p50_ms_at_1", seen, "p50_ms", P50_MS),
        _latency("serving.p99_ms_at_1", seen, "p99_ms", P99_MS),
    ]


def beside_the_learner(scratch: Path) -> list[Figure]:
    """Decisions per second at 128 connections while they are learned from on the same cores."""
    with beside_echo(scratch, ALL) as rungs:
        seen = rounds(rungs, MANY)
        cost = cost_of(rungs[-1])
    return [_speed("serving.decisions_per_s_with_learner", seen, "ours")._replace(facts=cost)]


def sidecar_us(scratch: Path) -> float:
    """Processor time of the sidecar's process for a decision at full load, in µs."""
    need_wrk()
    with beside_echo(scratch, DECIDES) as rungs:
        wrk(rungs[-1].port, MANY, rungs[-1].key)  # warm
        micros = cost_of(rungs[-1])["micros"]
    assert isinstance(micros, dict)
    return float(micros["sidecar"])


def rounds(rungs: list[Rung], connections: int) -> dict[str, list[Run]]:
    """Every server by turns; the first round, in which caches fill and weights become warm, is dropped.

    Raises:
        RuntimeError: something was not answered with 2xx: the figures would mean nothing.
    """
    seen: dict[str, list[Run]] = {rung.name: [] for rung in rungs}
    for turn in range(ROUNDS + 1):
        for rung in rungs:
            run = wrk(rung.port, connections, rung.key)
            if run.failed:
                raise RuntimeError(f"{run.failed} requests to {rung.name} were not answered with 2xx")
            if turn:
                seen[rung.name].append(run)
    return seen


def _middle(runs: list[Run], field: str) -> float:
    return median_of([getattr(run, field) for run in runs])


def _speed(name: str, seen: dict[str, list[Run]], whose: str, at_least: float | None = None) -> Figure:
    ours, echo = _middle(seen[whose], "per_s"), _middle(seen["echo"], "per_s")
    return Figure(name, ours, "requests/s", echo, ECHO, at_least=at_least)


def _latency(name: str, seen: dict[str, list[Run]], field: str, most_ms: float | None = None) -> Figure:
    """Beside the echo's; or, where there is a limit, beside that."""
    ours, echo = _middle(seen["ours"], field), _middle(seen["echo"], field)
    if most_ms is None:
        return Figure(name, ours, "ms", echo, ECHO)
    return Figure(name, ours, "ms", most_ms, "ms that it may take", at_most=1.0, facts={"echo_ms": echo})


def cost_of(rung: Rung) -> dict[str, object]:
    """What a decision takes of each process, in µs of processor time: the learner's share of it too."""
    assert rung.platform is not None
    with micros_a_request(rung.platform) as cost:
        run = wrk(rung.port, MANY, rung.key)
    return {"micros": cost.of(run.calls)}
