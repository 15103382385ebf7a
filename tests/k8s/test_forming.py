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
from tests.store_cluster.servers import free_ports
from tests.waiting import until

pytestmark = pytest.mark.slow
FORM = K8S / "components" / "redis-cluster" / "form.sh"
CLI = shutil.which("valkey-cli") or shutil.which("redis-cli")


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[list[str]]:
    """Six empty servers that could be a cluster."""
    with ExitStack() as stack:
        made = [_node(tmp_path / str(n), port, stack) for n, port in enumerate(free_ports(6))]
        for node in made:
            port = int(node.rpartition(":")[2])
            until(lambda port=port: _listens(port), 60.0, f"{node} listens")
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
