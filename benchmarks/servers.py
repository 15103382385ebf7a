"""The servers that the decision path is measured beside, and the platform itself."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.served_model import serve_model
from benchmarks.serving_tables import load_tables
from decision_service.cli.platform import ALL, Platform, free_port, started
from sidecar.contracts.layout import DataFolder
from sidecar.contracts.store import connect

HERE = Path(__file__).parent
START_DEADLINE_S = 60.0


class Rung(NamedTuple):
    """One server of the ladder."""

    name: str
    port: int
    key: str = ""
    platform: Platform | None = None
    """Whose processes work for it, where there are several."""


@contextlib.contextmanager
def ladder(scratch: Path) -> Iterator[list[Rung]]:
    """Echo, bare ASGI, ours without its log, ours: all that a decision waits for, and no learner."""
    with (
        echo_server() as echo,
        server("benchmarks.bare") as bare,
        platform(scratch, DECIDES) as ours,
        unlogged(ours) as without_log,
    ):
        yield [
            Rung("echo", echo),
            Rung("bare", bare),
            Rung("unlogged", without_log, ours.key),
            Rung("ours", ours.port, ours.key, ours),
        ]


@contextlib.contextmanager
def beside_echo(scratch: Path, parts: Sequence[str]) -> Iterator[list[Rung]]:
    """Echo, and ours with those of its processes."""
    with echo_server() as echo, platform(scratch, parts) as ours:
        yield [Rung("echo", echo), Rung("ours", ours.port, ours.key, ours)]


@contextlib.contextmanager
def echo_server() -> Iterator[int]:
    """The yardstick, on a free port."""
    with server("benchmarks.echo") as port:
        yield port


@contextlib.contextmanager
def server(module: str) -> Iterator[int]:
    """One that takes its port as its argument."""
    port = free_port()
    with _child([sys.executable, "-m", module, str(port)], os.environ):
        _wait(port)
        yield port


DECIDES = ("sidecar", "service")
"""The processes that a decision waits for, beside the store."""


@contextlib.contextmanager
def platform(scratch: Path, parts: Sequence[str] = ALL) -> Iterator[Platform]:
    """The shop as ``sidearm up`` starts it, or some of its processes; its tables loaded, a model served."""
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    environ = os.environ | {"PYTHONPATH": str(HERE.parent)}
    data = DataFolder(scratch)
    with started(HERE / "shop", data, port=free_port(), environ=environ, parts=parts) as running:
        with connect(running.feature_store_url) as client:
            load_tables(client, running.application.name, scratch)
        if "learner" not in parts:
            serve_model(running)
        yield running


@contextlib.contextmanager
def unlogged(beside: Platform) -> Iterator[int]:
    """A second service over the same sidecar and store, which pretends to log."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.unlogged", "--app", str(beside.folder)]
    environ = {**beside.environ, "SIDEARM_DECISION_SERVICE_PORT": str(port)}
    with _child([*command, "--data", str(beside.data.root)], environ):
        _wait(port)
        yield port


@contextlib.contextmanager
def _child(command: list[str], environ: Mapping[str, str]) -> Iterator[None]:
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=dict(environ))
    try:
        yield
    finally:
        child.terminate()
        child.wait(timeout=60)


def _wait(port: int) -> None:
    give_up = time.monotonic() + START_DEADLINE_S
    while time.monotonic() < give_up:
        with contextlib.suppress(OSError), contextlib.closing(socket.create_connection(("127.0.0.1", port))):
            return
        time.sleep(0.05)
    raise TimeoutError(f"nobody listens on {port} after {START_DEADLINE_S:.0f} s")
