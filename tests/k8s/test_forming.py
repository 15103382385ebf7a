"""The script that makes one cluster of six empty nodes, as the component ``redis-cluster`` runs it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from decision_service.cli.store import find_binary
from tests.k8s.check.rendering import K8S
from tests.waiting import until

pytestmark = pytest.mark.slow
FORM = K8S / "components" / "redis-cluster" / "form.sh"
CLI = shutil.which("valkey-cli") or shutil.which("redis-cli")
_BUS = 10_000


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[list[str]]:
    """Six empty servers that could be a cluster."""
    with ExitStack() as stack:
        made = [_node(tmp_path / str(n), port, stack) for n, port in enumerate(_free_ports(6))]
        for node in made:
            port = int(node.rpartition(":")[2])
            until(lambda port=port: _listens(port), 20.0, f"{node} listens")
        yield made


def _node(folder: Path, port: int, stack: ExitStack) -> str:
    folder.mkdir()
    server = str(find_binary(os.environ.get("PATH")).path)
    told = {"port": port, "bind": "127.0.0.1", "cluster-enabled": "yes", "save": "", "dir": folder}
    words = [str(word) for name, value in told.items() for word in (f"--{name}", value)]
    child = subprocess.Popen([server, *words], stdout=subprocess.DEVNULL)
    stack.callback(child.wait, 20)
    stack.callback(child.kill)
    return f"127.0.0.1:{port}"


def _free_ports(count: int) -> list[int]:
    """Ports whose bus is free too."""
    found: list[int] = []
    while len(found) < count:
        with socket.create_server(("127.0.0.1", 0)) as door:
            port = door.getsockname()[1]
        port = port if port + _BUS < 65_536 else port - _BUS
        if port not in found and not _listens(port) and not _listens(port + _BUS):
            found.append(port)
    return found


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.skipif(CLI is None, reason="neither valkey-cli nor redis-cli is on the PATH")
def test_six_empty_nodes_become_one_cluster_and_stay_it(nodes: list[str]) -> None:
    """Three primaries, three replicas; a second run finds them so and changes nothing."""
    for _ in range(2):
        done = subprocess.run(
            ["/bin/sh", str(FORM)],
            env={"NODES": " ".join(nodes), "CLI": str(CLI), "PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        last = [line for line in done.stdout.splitlines() if "connected" in line and "handshake" not in line]
        assert sum("slave" in line for line in last) == 3, done.stdout
        assert sum("master" in line for line in last) == 3, done.stdout
