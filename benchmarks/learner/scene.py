"""The store, filled with decisions, and the processes that work on it."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import cast

import msgspec
import redis

from benchmarks.learner.workload import APP, HORIZON_MS, Workload
from decision_service.cli.children import Child, start_child, stop_child, tail
from decision_service.cli.store import EmbeddedStore, start_store
from sidecar.contracts import keys as app_keys
from sidecar.contracts.catalogue import encode_arms
from sidecar.contracts.events import DecisionEvent, encode_reward_tail
from sidecar.contracts.ids import partition_of_decision
from sidecar.contracts.keys import Keys
from sidecar.contracts.layout import DataFolder
from sidecar.contracts.scripts.decide import DecideEntry, decide_call, entry_of
from sidecar.contracts.scripts.reward import RewardEntry, limits_of, reward_call
from sidecar.contracts.scripts.working import decode_lease
from sidecar.contracts.store import Scripts, connect

TOMBSTONE_MS = 86_400_000
_AT_ONCE = 64
_JUMP_MS = HORIZON_MS + 1000
_DEADLINE_S = 600.0


class Scene:
    """One application over one store of its own; see :func:`scene`."""

    def __init__(
        self, workload: Workload, root: Path, store: EmbeddedStore, learner: Mapping[str, object]
    ) -> None:
        self.workload, self.data, self.store = workload, DataFolder(root), store
        self.client = connect(store.url, timeout_s=60.0)
        self.scripts = Scripts.on(self.client)
        self.folder = root / "app"
        self.application = workload.write(self.folder, learner)
        self.client.hset(
            app_keys.catalogues(APP), workload.catalogue.version, encode_arms(workload.catalogue.arms)
        )
        self.partitions = [Keys(APP, p) for p in range(workload.partitions)]
        self._children: dict[str, Child] = {}

    def decide(self, events: Sequence[DecisionEvent], shaped: Callable[[bytes], bytes] = bytes) -> None:
        """Store decisions, many in a call as the service's batches are."""
        for keys, some in self._batches(events):
            entries = [_reshaped(entry_of(event, self.workload.mode), shaped) for event in some]
            call = decide_call(keys, entries, max_pending=10**8, tombstone_ms=TOMBSTONE_MS)
            answers = {status for status, _, _ in self.scripts.run(call)}
            assert answers == {b"OK"}, answers

    def reward(self, events: Sequence[DecisionEvent], first: int) -> int:
        """The rewards of decisions that begin with number ``first``; how many there are."""
        limits = limits_of(self.application.reward, 10**8)
        rewarded = [event for n, event in enumerate(events, first) if self.workload.reward_of(n)]
        for keys, some in self._batches(rewarded):
            tails = [encode_reward_tail(1.0, 0, "purchase", event.arm) for event in some]
            entries = [RewardEntry(e.decision_id, "k", told) for e, told in zip(some, tails, strict=True)]
            self.scripts.run(reward_call(keys, entries, limits))
        return len(rewarded)

    def pass_horizon(self) -> None:
        """All that waits is due from now on. Leases jump along with the clock that they end by."""
        for keys in self.partitions:
            lease = decode_lease(cast("bytes | None", self.client.get(keys.lease)))
            if lease is not None:
                self.client.set(keys.lease, f"{lease.holder}|{lease.until_ms + _JUMP_MS}")
            self.client.incrby(keys.skew, _JUMP_MS)
        self.client.incrby(app_keys.app_skew(APP), _JUMP_MS)

    def waiting(self) -> int:
        """Decisions that wait for their horizon, or to be closed."""
        return sum(int(self.client.zcard(keys.due)) for keys in self.partitions)  # type: ignore[arg-type]

    def start(self, module: str, name: str = "", **environ: str) -> None:
        """Start one process; ``environ`` is added to ours."""
        log = self.data.run / f"{name or module}.log"
        command = [sys.executable, "-m", module, "--app", str(self.folder), "--data", str(self.data.root)]
        self._children[name or module] = start_child(command, log, environ=os.environ | environ)

    def kill(self, module: str) -> None:
        """kill -9, and it is gone."""
        child = self._children.pop(module)
        child.kill()
        child.wait()

    def status(self, field: str) -> str:
        """A field of the learner's status; empty before the first."""
        stored = self.client.hget(app_keys.learner_status(APP), field)
        return stored.decode() if isinstance(stored, bytes) else ""

    def helpers(self) -> int:
        """Joiners and archivers that have said how they are."""
        return int(self.client.hlen(app_keys.workers(APP)))  # type: ignore[arg-type]

    def published(self) -> int:
        """Examples that the published weights have learnt from."""
        entries = self.client.xrevrange(app_keys.weights_log(APP), count=1)
        return int(entries[0][1][b"examples"]) if entries else 0

    def wait(self, done: Callable[[], object], what: str, poll_s: float = 0.002) -> None:
        """Until ``done``.

        Raises:
            RuntimeError: a process ended, or it takes ten minutes.
        """
        end = time.monotonic() + _DEADLINE_S
        while not done():
            for name, child in self._children.items():
                if child.poll() is not None:
                    raise RuntimeError(f"{name} ended:\n{tail(self.data.run / f'{name}.log', 30)}")
            if time.monotonic() > end:
                raise RuntimeError(f"{what} took longer than {_DEADLINE_S:g} s")
            time.sleep(poll_s)

    def cpu_s(self) -> dict[str, float]:
        """Seconds of processor time that each process has had so far."""
        pids = {name: child.pid for name, child in self._children.items()} | {"store": self.store.pid}
        return {name: sum(map(_cpu_s, [pid, *_children(pid)])) for name, pid in pids.items()}

    def close(self) -> None:
        """Stop everything."""
        for child in reversed(self._children.values()):
            stop_child(child, 60.0)
        self.client.close()

    def _batches(self, events: Sequence[DecisionEvent]) -> Iterator[tuple[Keys, list[DecisionEvent]]]:
        of: dict[int, list[DecisionEvent]] = {}
        for event in events:
            of.setdefault(partition_of_decision(event.decision_id, len(self.partitions)), []).append(event)
        for partition, some in of.items():
            for start in range(0, len(some), _AT_ONCE):
                yield self.partitions[partition], some[start : start + _AT_ONCE]


@contextlib.contextmanager
def scene(workload: Workload, root: Path, **learner: object) -> Iterator[Scene]:
    """A store of its own below ``root``, durable as in production; everything is gone at the end.

    Args:
        workload: what is decided.
        root: a folder that does not exist yet; a short name, since sockets have short addresses.
        learner: settings of the learner.
    """
    root.mkdir(parents=True)
    try:
        with start_store(DataFolder(root)) as store:
            made = Scene(workload, root, store, learner)
            try:
                yield made
            finally:
                made.close()
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _children(pid: int) -> list[int]:
    """Processes that a process has started, such as the one that runs VW."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def used_memory(client: redis.Redis) -> int:
    """Bytes that the store's data takes."""
    return int(client.info("memory")["used_memory"])  # type: ignore[index,arg-type]


def _reshaped(entry: DecideEntry, shaped: Callable[[bytes], bytes]) -> DecideEntry:
    return msgspec.structs.replace(entry, payload=shaped(entry.payload))
