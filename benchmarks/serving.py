"""Decisions through HTTP with everything on, beside an endpoint that only echoes.

Features, scoring of twenty arms, durable log: the shop as ``sidearm up`` starts it. Client, store and all
processes share the machine with the yardstick's run, which takes turns with ours.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks.figures import Figure, median_of

HERE = Path(__file__).parent
ROUNDS = 3
SECONDS = 5
CONNECTIONS = 128
START_DEADLINE_S = 60.0


class WrkMissing(RuntimeError):
    """wrk is the client of this benchmark, and it is not on the PATH."""


class Run(NamedTuple):
    """What wrk saw in one run."""

    per_s: float
    p50_ms: float
    p99_ms: float
    failed: int
    calls: int = 0


def figures(scratch: Path) -> list[Figure]:
    """Decisions per second at 128 connections, and latency one request at a time.

    Raises:
        WrkMissing: with how to get it.
    """
    need_wrk()
    with echo_server() as echo, platform(scratch) as (ours, key):
        busy = [(wrk(echo, CONNECTIONS, ""), wrk(ours, CONNECTIONS, key)) for _ in range(ROUNDS)]
        calm = [(wrk(echo, 1, ""), wrk(ours, 1, key)) for _ in range(ROUNDS)]
    failed = sum(run.failed for pair in busy + calm for run in pair)
    if failed:
        raise RuntimeError(f"{failed} requests were not answered with 2xx: the figures mean nothing")
    return [
        _figure("serving.decisions_per_s", "decisions/s", busy, "per_s"),
        _figure("serving.p50_ms_at_128", "ms", busy, "p50_ms"),
        _figure("serving.p99_ms_at_128", "ms", busy, "p99_ms"),
        _figure("serving.p50_ms_at_1", "ms", calm, "p50_ms"),
        _figure("serving.p99_ms_at_1", "ms", calm, "p99_ms"),
    ]


def need_wrk() -> None:
    """See that the client is here.

    Raises:
        WrkMissing: with how to get it.
    """
    if shutil.which("wrk") is None:
        raise WrkMissing("wrk is not on the PATH: `apt-get install wrk` (Debian) or `brew install wrk`")


def _figure(name: str, unit: str, pairs: list[tuple[Run, Run]], field: str) -> Figure:
    echo, ours = (median_of([getattr(pair[i], field) for pair in pairs]) for i in (0, 1))
    return Figure(name, ours, unit, echo, "FastAPI echo of a pydantic body")


def wrk(port: int, connections: int, key: str, seconds: int = SECONDS) -> Run:
    """One run of the client against ``port``."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(HERE / "wrk.lua")]
    command += [f"http://127.0.0.1:{port}", "--", f"{time.time_ns():x}", key]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    seen = json.loads(out.rpartition("JSON")[2])
    failed = seen["not_2xx"] + seen["broken"]
    return Run(
        seen["requests"] / seen["duration_s"], seen["p50_ms"], seen["p99_ms"], failed, seen["requests"]
    )


@contextlib.contextmanager
def echo_server() -> Iterator[int]:
    """The yardstick, on a free port."""
    port = free_port()
    with _child([sys.executable, "-m", "benchmarks.echo", str(port)]):
        _wait(f"http://127.0.0.1:{port}/openapi.json")
        yield port


@contextlib.contextmanager
def platform(scratch: Path) -> Iterator[tuple[int, str]]:
    """The shop as ``sidearm up`` starts it, on a free port, with its development key."""
    from decision_service.auth import ensure_development_key

    port = free_port()
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    key = ensure_development_key(scratch / "keys.json")
    command = [sys.executable, "-m", "decision_service.cli.main", "up", "examples/shop"]
    with _child([*command, "--data", str(scratch), "--port", str(port)]):
        _wait(f"http://127.0.0.1:{port}/readyz")
        yield port, key


@contextlib.contextmanager
def _child(command: list[str]) -> Iterator[None]:
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=os.environ | {"PYTHONUNBUFFERED": "1"})
    try:
        yield
    finally:
        child.terminate()
        child.wait(timeout=60)


def free_port() -> int:
    """A TCP port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(url: str) -> None:
    give_up = time.monotonic() + START_DEADLINE_S
    while time.monotonic() < give_up:
        with (
            contextlib.suppress(urllib.error.URLError, ConnectionError),
            urllib.request.urlopen(url, timeout=2),
        ):
            return
        time.sleep(0.05)
    raise TimeoutError(f"{url} did not answer within {START_DEADLINE_S:.0f} s")
