"""Decisions over a graph of 32 fetches of 100 ms, scoring and log included, beside what they may take."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from benchmarks.figures import Figure
from benchmarks.served_model import serve_model
from benchmarks.servers import DECIDES, HERE
from benchmarks.wrk import need_wrk, wrk
from decision_service.cli.platform import free_port, started
from sidecar.contracts.layout import DataFolder

CONNECTIONS = 20
SECONDS = 15
MOST_MS = 700.0
CRITICAL_PATH_MS = 400.0


def figures(scratch: Path) -> list[Figure]:
    """p99 at 20 requests at once; four levels of 100 ms are 400 of it.

    Raises:
        WrkMissing: with how to get it.
        RuntimeError: a call was not answered with 201.
    """
    need_wrk()
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    environ = os.environ | {"PYTHONPATH": str(HERE.parent)}
    data = DataFolder(scratch)
    with started(HERE / "wide", data, port=free_port(), environ=environ, parts=DECIDES) as ours:
        serve_model(ours)
        wrk(ours.port, CONNECTIONS, ours.key, 2)  # warm
        run = wrk(ours.port, CONNECTIONS, ours.key, SECONDS)
    if run.failed:
        raise RuntimeError(f"{run.failed} calls were not answered with 201")
    facts: dict[str, object] = {
        "calls": run.calls,
        "p50_ms": run.p50_ms,
        "critical_path_ms": CRITICAL_PATH_MS,
    }
    name, beside = "serving.wide_graph_p99_ms", "ms that it may take"
    return [Figure(name, run.p99_ms, "ms", MOST_MS, beside, at_most=1.0, facts=facts)]
