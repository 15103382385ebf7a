"""Three primaries and three replicas on the loopback, made, broken and moved about by their own commands."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import redis

from decision_service.cli.store import find_binary
from sidecar.contracts.cluster.address import Node
from sidecar.contracts.cluster.commands import slot_of
from tests.processes import Process, Processes
from tests.waiting import until

PRIMARIES = 3
SLOTS = 16_384
BUS = 10_000
"""So far above a node's port lies that of the cluster's own talk."""
NODE_TIMEOUT_MS = 1500
"""A primary that is silent for so long is replaced."""


class Server:
    """One node."""

    def __init__(self, processes: Processes, folder: Path, port: int) -> None:
        self.node = Node("127.0.0.1", port)
        self.process: Process
        self.client = redis.Redis(*self.node, socket_timeout=20.0)
        self.client.response_callbacks.pop("CLUSTER SLOTS", None)  # as the server says it
        self.id = ""
        self._processes, self._folder = processes, folder / str(port)
        self._folder.mkdir(parents=True)

    def start(self) -> None:
        """On the files it had."""
        settings = {
            "port": self.node.port,
            "bind": self.node.host,
            "dir": self._folder,
            "cluster-enabled": "yes",
            "cluster-node-timeout": NODE_TIMEOUT_MS,
            "appendonly": "yes",
            "appendfsync": "always",
            "save": "",
            "shutdown-timeout": 0,
            "repl-diskless-sync-delay": 0,
        }
        words = [str(word) for name, value in settings.items() for word in (f"--{name}", value)]
        name = f"store-{self.node.port}"
        self.process = self._processes.run([str(find_binary().path), *words], name)
        self.process.wait_until(self._answers, 60.0)
        self.id = self.client.execute_command("CLUSTER MYID").decode()

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()

    def run(self, *words: object) -> Any:
        """One command of it, as it is."""
        return self.client.execute_command(*words)

    def info(self) -> dict[str, str]:
        """``CLUSTER INFO``"""
        told = self.client.cluster("INFO")
        assert isinstance(told, dict)
        return told

    def _answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except redis.RedisError:
            return False


class StoreCluster:
    """Six nodes; the first three begin as primaries, each with a replica three places further.

    Args:
        servers: which run.
        wait_ms: how long clients of :attr:`url` let a replica take, which may have a slow disk.
    """

    def __init__(self, servers: list[Server], wait_ms: int) -> None:
        self.servers, self._wait_ms = servers, wait_ms

    @property
    def url(self) -> str:
        """For ``REDIS_URL``: three of the nodes are named, one write in two places before it counts."""
        seeds = ",".join(f"{s.node.host}:{s.node.port}" for s in self.servers[::2])
        return f"redis+cluster://{seeds}?replicas=1&wait_ms={self._wait_ms}"

    def form(self) -> None:
        """Slots in thirds, a replica each; until every node says that all is well."""
        first = self.servers[0]
        for other in self.servers[1:]:
            other.run("CLUSTER MEET", *first.node)
        until(lambda: all(self._knows_all(s) for s in self.servers), 60.0, "all have met")
        for place, primary in enumerate(self.servers[:PRIMARIES]):
            begin, end = (SLOTS * n // PRIMARIES for n in (place, place + 1))
            primary.run("CLUSTER ADDSLOTSRANGE", begin, end - 1)
        for primary, replica in zip(self.servers[:PRIMARIES], self.servers[PRIMARIES:], strict=True):
            until(lambda r=replica, p=primary: self._follows(r, p), 60.0, "a replica follows", poll_s=0.1)
        until(self.is_well, 60.0, "the cluster is well", poll_s=0.1)

    def is_well(self) -> bool:
        """Every living node says that all slots are served, and every replica is in step."""
        return all(s.info()["cluster_state"] == "ok" and _in_step(s) for s in self.living())

    def living(self) -> list[Server]:
        """Those that run."""
        return [server for server in self.servers if server.process.alive()]

    def primary_of(self, key: str) -> Server:
        """Who serves a key, as the living see it."""
        slot, clients = slot_of(("GET", key)), self.living()
        for first, last, primary, *_ in clients[0].run("CLUSTER SLOTS"):
            if first <= slot <= last:
                return next(s for s in self.servers if s.node.port == primary[1])
        raise AssertionError(f"nobody serves slot {slot}")

    def replica_of(self, key: str) -> Server:
        """Who would take over from the primary of a key."""
        port = self.primary_of(key).node.port
        return next(s for s in self.living() if s.client.info("replication").get("master_port") == port)

    def fail_over(self, key: str) -> Server:
        """The primary of a key is killed; until its replica has taken over. Who was killed."""
        dead = self.primary_of(key)
        dead.kill()
        until(lambda: self._is_replaced(dead), 60.0, "a replica has taken over", poll_s=0.1)
        return dead

    @contextmanager
    def migrating(self, key: str) -> Iterator[None]:
        """The slot of a key is on its way to another primary; it arrives when the block is done."""
        slot, source = slot_of(("GET", key)), self.primary_of(key)
        target = next(s for s in self.primaries() if s is not source)
        target.run("CLUSTER SETSLOT", slot, "IMPORTING", source.id)
        source.run("CLUSTER SETSLOT", slot, "MIGRATING", target.id)
        keys = source.run("CLUSTER GETKEYSINSLOT", slot, 10)
        if keys:
            source.run("MIGRATE", *target.node, "", 0, 20_000, "KEYS", *keys)
        yield
        while keys := source.run("CLUSTER GETKEYSINSLOT", slot, 1000):
            source.run("MIGRATE", *target.node, "", 0, 20_000, "KEYS", *keys)
        for server in (target, source, *self.primaries()):
            server.run("CLUSTER SETSLOT", slot, "NODE", target.id)

    def primaries(self) -> list[Server]:
        """Those that run and own slots."""
        return [s for s in self.living() if s.client.role()[0] == b"master"]

    def _knows_all(self, server: Server) -> bool:
        return int(server.info()["cluster_known_nodes"]) == len(self.servers)

    def _follows(self, replica: Server, primary: Server) -> bool:
        try:
            replica.run("CLUSTER REPLICATE", primary.id)
        except redis.ResponseError:  # it has not heard that the other is a primary
            return False
        return True

    def _is_replaced(self, dead: Server) -> bool:
        seen = [s.info() for s in self.living()]
        ports = {p[1] for s in self.living() for _, _, p, *_ in s.run("CLUSTER SLOTS")}
        return dead.node.port not in ports and all(i["cluster_state"] == "ok" for i in seen)


@contextmanager
def store_cluster(processes: Processes, folder: Path, wait_ms: int = 200) -> Iterator[StoreCluster]:
    """Formed; gone at the end with the test's other processes."""
    servers = [Server(processes, folder, port) for port in free_ports(2 * PRIMARIES)]
    for server in servers:
        server.start()
    cluster = StoreCluster(servers, wait_ms)
    cluster.form()
    yield cluster
    for server in servers:
        server.client.close()


def _in_step(server: Server) -> bool:
    said = server.client.info("replication")
    if server.client.info("persistence")["aof_rewrite_in_progress"]:  # until then it does not end at SIGTERM
        return False
    return said["role"] == "master" or said["master_link_status"] == "up"


def free_ports(count: int) -> list[int]:
    """For nodes: that of the cluster's own talk is free too.

    Below those that the system gives to connections: a node that was killed finds its port free again.
    """
    found: list[int] = []
    with ExitStack() as held:
        while len(found) < count:
            port = random.randrange(12_000, 12_000 + BUS)
            try:
                for one in (port, port + BUS):
                    held.enter_context(socket.create_server(("127.0.0.1", one)))
            except OSError:
                continue
            found.append(port)
    return found
