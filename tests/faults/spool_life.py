"""One life of a service as its spool sees it: the product's own code from the request to the store's scripts.

The store is real, and asked over a connection that fails as the seed says: before the request, after it, or
for good, as the process dies. So may the disk: before a flush, after it, or full.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import redis
from prometheus_client import CollectorRegistry

from decision_service.activation import Activator
from decision_service.draining import Drainer
from decision_service.errors import StoreAway
from decision_service.event_log import EventLog
from decision_service.resending import senders
from decision_service.reward import Rewarder
from decision_service.spool import Spool
from decision_service.telemetry import Telemetry
from sidecar.contracts.store import Scripts
from tests.faults.actor import Crash
from tests.faults.customer import Violation

MOST_CALLS = 5_000
"""Of one seed: who goes on after so many goes on for ever."""


class Faults:
    """What breaks, and how often."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.away = False
        self.lost = rng.choice((0.0, 0.05, 0.2))
        self.dying = rng.choice((0.0, 0.01, 0.05))
        self.full = rng.choice((0.0, 0.0, 0.1))
        self.calls = 0

    def rest(self) -> None:
        """Nothing breaks any more."""
        self.away, self.lost, self.dying, self.full = False, 0.0, 0.0, 0.0

    def maybe_die(self) -> None:
        if self.rng.random() < self.dying:
            raise Crash


class Remote:
    """The store for one life: an asynchronous face of a synchronous client, which the seed may cut."""

    def __init__(self, scripts: Scripts, faults: Faults) -> None:
        self._scripts, self._faults, self.dead = scripts, faults, False
        self.client = _Client(scripts.client, self._talk)

    async def run(self, call: Any) -> Any:
        return self._talk(lambda: self._scripts.run(call))

    async def run_all(self, calls: Any) -> list[Any]:
        return self._talk(lambda: [self._scripts.run(call) for call in calls])

    def ask_all(self, calls: Any, heard: Callable[[Any], None]) -> None:
        try:
            said = self._talk(lambda: [self._scripts.run(call) for call in calls])
        except redis.RedisError as error:
            said = error
        heard(said)

    async def retold(self, _calls: Any, replies: Any) -> Any:
        return replies

    def _talk(self, talk: Callable[[], Any]) -> Any:
        faults = self._faults
        faults.calls += 1
        if faults.calls > MOST_CALLS:
            raise Violation("I7 the spool is sent for ever")
        self._step()
        if faults.away or faults.rng.random() < faults.lost / 2:
            raise redis.ConnectionError("not sent")
        answer = talk()
        self._step()
        if faults.rng.random() < faults.lost / 2:
            raise redis.ConnectionError("no reply")
        return answer

    def _step(self) -> None:
        if self.dead:
            raise Crash
        self._faults.maybe_die()


class _Client:
    def __init__(self, client: Any, talk: Callable[[Callable[[], Any]], Any]) -> None:
        self._client, self._talk = client, talk

    def __getattr__(self, name: str) -> Any:
        async def call(*arguments: Any, **named: Any) -> Any:
            return self._talk(lambda: getattr(self._client, name)(*arguments, **named))

        return call

    def pipeline(self, transaction: bool = True) -> Any:
        return _Pipeline(self._client.pipeline(transaction=transaction), self._talk)


class _Pipeline:
    def __init__(self, pipe: Any, talk: Callable[[Callable[[], Any]], Any]) -> None:
        self._pipe, self._talk = pipe, talk

    def __len__(self) -> int:
        return len(self._pipe)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pipe, name)

    async def execute(self) -> Any:
        return self._talk(self._pipe.execute)


class Life:
    """A service from its start to its death. The breaker before its store opens and closes as it likes."""

    def __init__(self, sim: Any) -> None:
        self.remote, app = Remote(sim.scripts, sim.faults), sim.application
        self.spool = Spool(sim.root, sim.limit_bytes, 10.0, sim.now_ms)
        self.guard: Any = SimpleNamespace(closed=True, good=lambda calls=1: None, bad=lambda calls=1: None)
        telemetry, beside = Telemetry(CollectorRegistry()), (self.guard, self.spool)
        remote: Any = self.remote
        self.log = EventLog(remote, app, 64, *beside)
        self.rewarder = Rewarder(remote, app, telemetry, lambda: "unused", 64, *beside)
        self.activator = Activator(remote, app, telemetry, 64, *beside)
        by_kind = senders(self.log, self.rewarder, self.activator, app.partitions)
        self._drainer = Drainer(self.spool, by_kind, self._ready, app.reward.tombstone_s, telemetry)

    async def drain(self) -> None:
        """As long as the store takes something: what is its own, and what others left."""
        with suppress(StoreAway):
            while len(self.spool) or await self.spool.adopt():
                if not await self._drainer.drain():
                    return

    async def _ready(self) -> None:
        if self.remote._faults.away:
            raise StoreAway("away")

    def die(self) -> None:
        """kill -9: nothing is tidied up, and its locks are free."""
        self.remote.dead = True
        folder = self.spool._folder
        self.spool._disk.shutdown(wait=True)
        held = [folder._lock, folder._open and folder._open[1], *(one._lock for one in self.spool._orphans)]
        for descriptor in (one for one in held if one is not None):
            with suppress(OSError):
                os.close(descriptor)


class Disk:
    """``os.fdatasync`` that knows what is on the disk for good."""

    def __init__(self, faults: Faults) -> None:
        self._faults, self.synced = faults, dict[int, int]()
        self._sync = os.fdatasync

    def __call__(self, descriptor: int) -> None:
        for _ in range(4):  # the worst of moments: it is written, and not on the disk
            self._faults.maybe_die()
        if self._faults.rng.random() < self._faults.full:
            raise OSError(28, "No space left on device")
        file = os.fstat(descriptor)
        self.synced[file.st_ino] = file.st_size
        self._faults.maybe_die()

    def cut_power(self, sim: Any) -> None:
        """Of what was not flushed any part may be gone, or something else."""
        for path in sorted(sim.root.rglob("*.spool")):
            file = path.stat()
            kept = min(self.synced.get(file.st_ino, 0), file.st_size)
            torn = file.st_size > kept and sim.rng.random() < 0.5
            size = file.st_size if torn else sim.rng.randint(kept, file.st_size)
            content = bytearray(path.read_bytes()[:size])
            if torn:
                content[sim.rng.randrange(kept, size)] ^= 0xFF
            with path.open("r+b") as there:  # the same file: others may hold it open
                there.truncate(size)
                there.write(content)


async def quietly(work: Any) -> None:
    """Tasks that died with their process complain to nobody."""
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    await work
