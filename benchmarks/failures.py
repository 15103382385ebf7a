"""What a caller waits for when the sidecar sleeps, and when the store does, beside what was promised.

Both are stopped (SIGSTOP), which is worse than dead: connections stand, and nothing comes. The measurement
starts with the stop, so that the calls that find out are among those that are measured.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figures import Figure
from benchmarks.servers import echo_server
from benchmarks.wrk import Run, need_wrk, wrk
from decision_service.cli.platform import Platform, free_port, started
from sidecar.contracts.layout import DataFolder

CONNECTIONS = 16
LEAST_CALLS = 5_000
DEADLINE_MS = 100.0
"""The shop's."""
SLACK_MS = 5.0
SETTLE_S = 60.0


def figures(scratch: Path) -> list[Figure]:
    """p99 with the sidecar asleep and with the store black-holed, beside deadline + 5 ms + the echo's p99.

    Raises:
        WrkMissing: with how to get it.
        RuntimeError: a call was not answered with 201, or the spool was not emptied.
    """
    need_wrk()
    shutil.rmtree(scratch, ignore_errors=True)
    with (
        echo_server() as echo,
        started(Path("examples/shop"), DataFolder(scratch), port=free_port(), environ=os.environ) as ours,
    ):
        wrk(ours.port, CONNECTIONS, ours.key)  # warm
        promised_ms = DEADLINE_MS + SLACK_MS + wrk(echo, CONNECTIONS, "").p99_ms
        well = _calls(ours)
        with _asleep(_pid_of(ours, "sidecar")):
            sidecar = _calls(ours)
        if ours.store is None:
            raise RuntimeError("this needs a store of its own: unset REDIS_URL")
        with _asleep(ours.store.pid):
            store = _calls(ours)
        _until_drained(ours)
    named = {"failures.well": well, "failures.sidecar_asleep": sidecar, "failures.store_asleep": store}
    return [_figure(name, run, promised_ms) for name, run in named.items()]


def _figure(name: str, run: Run, promised_ms: float) -> Figure:
    facts = {"calls": run.calls, "deadline_ms": DEADLINE_MS, "connections": CONNECTIONS, "p50_ms": run.p50_ms}
    yardstick = "deadline + 5 ms + the echo's p99"
    return Figure(f"{name}_p99_ms", run.p99_ms, "ms", promised_ms, yardstick, at_most=1.0, facts=facts)


def _calls(ours: Platform) -> Run:
    """At least :data:`LEAST_CALLS`, in one run, all answered with 201."""
    run = wrk(ours.port, CONNECTIONS, ours.key)
    while run.calls < LEAST_CALLS:
        run = wrk(ours.port, CONNECTIONS, ours.key, seconds=int(LEAST_CALLS / run.per_s * 1.2) + 1)
    if run.failed:
        raise RuntimeError(f"{run.failed} of {run.calls} calls were not answered with 201")
    return run


def _pid_of(ours: Platform, name: str) -> int:
    return next(part.child.pid for part in ours.parts if part.name == name)


@contextlib.contextmanager
def _asleep(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def _until_drained(ours: Platform) -> None:
    give_up = time.monotonic() + SETTLE_S
    while time.monotonic() < give_up:
        with urllib.request.urlopen(f"{ours.url}/metrics", timeout=10) as reply:
            if b"sidearm_spool_records 0.0" in reply.read():
                return
        time.sleep(0.1)
    raise RuntimeError(f"the spool was not emptied within {SETTLE_S:.0f} s")
