"""The platform's processes over one data folder, with the proxy before the store; each may die."""

from __future__ import annotations

import json
import signal
import socket
import time
from pathlib import Path

import httpx

from decision_service.auth import ensure_development_key
from decision_service.cli.store import EmbeddedStore, start_store
from policy_learner.failpoints import VARIABLE
from policy_learner.status import read
from sidecar.contracts.application import Application, load_application
from sidecar.contracts.keys import workers
from sidecar.contracts.layout import DataFolder, socket_path
from sidecar.contracts.scripts.working import decode_workers
from sidecar.contracts.store import connect
from tests.faults.proxy import Proxy
from tests.processes import Process, Processes

MODULES = {"sidecar": "sidecar.server", "service": "decision_service", "learner": "policy_learner"}
HELPERS = {"joiner": "policy_learner.joiner", "archiver": "policy_learner.archiver"}
NAME = "faults"
HORIZON_S = 1.0
EARLY_S = 5.0

MODES = ("wait", "assume", "earliest")

APP_TOML = f"""\
name = "{NAME}"
partitions = 2
[reward]
mode = "MODE"
horizon_s = {HORIZON_S}
early_window_s = {EARLY_S}
[model]
bits = 10
[decision_service]
deadline_ms = 1000
score_timeout_ms = 900
[learner]
publish_every_s = 0.1
archive_every_s = 0.4
checkpoint_every_s = 0.7
trim_every_s = 0.3
status_every_s = 0.5
retry_s = 0.1
lease_s = 1.0
archiver = "ARCHIVER"
read_batch = 16
"""


class Stage:
    def __init__(self, processes: Processes, root: Path, seed: int):
        self.folder, self.data = root / "app", DataFolder(root / "data")
        self.folder.mkdir(parents=True)
        self._mode, self.apart = seed, seed % 2 == 1
        self._write_application()
        arms = [{"id": f"arm-{n}", "features": {"kind": "ab"[n % 2], "price": float(n)}} for n in range(3)]
        (self.folder / "arms.json").write_text(json.dumps(arms))
        self.application: Application = load_application(self.folder)
        self.data.run.mkdir(parents=True)
        self.key = ensure_development_key(self.data.keys)
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.proxy = Proxy(socket_path(self.data.run / "proxy.sock"), self.data.store_socket(), seed)
        self._processes = processes
        self._running: dict[str, Process] = {}
        self.services = 0
        """Started so far."""
        self._store: EmbeddedStore | None = None

    def change_mode(self) -> None:
        """Who is started from now on makes decisions of another mode; those that are pending keep theirs."""
        self._mode += 1
        self._write_application()

    def _write_application(self) -> None:
        told = APP_TOML.replace("MODE", MODES[self._mode % len(MODES)])
        (self.folder / "app.toml").write_text(told.replace("ARCHIVER", "apart" if self.apart else "here"))

    @property
    def store(self) -> EmbeddedStore:
        assert self._store is not None
        return self._store

    @property
    def learner(self) -> Process:
        return self._running["learner"]

    def start_all(self) -> None:
        for name in ("store", *MODULES, *(HELPERS if self.apart else ())):
            self.start(name)
        with connect(self.store.url) as client:  # else a power cut may lose what was acknowledged
            assert client.config_get("appendfsync")["appendfsync"] == "always"
        self._running["service"].wait_until(self.ready, 60.0)

    def start(self, name: str, failpoint: str = "") -> Process | None:
        if name == "store":
            self._store = start_store(self.data)
            return None
        environ = {"REDIS_URL": self.proxy.url, "SIDEARM_DECISION_SERVICE_PORT": str(self.port)}
        if failpoint:
            environ[VARIABLE] = failpoint
        self.services += name == "service"
        arguments = ("--app", self.folder, "--data", self.data.root)
        module = (MODULES | HELPERS)[name]
        self._running[name] = self._processes.start(module, *arguments, environ=environ, name=name)
        return self._running[name]

    def kill(self, name: str) -> None:
        """kill -9, and it is gone."""
        self.store.kill() if name == "store" else self._running[name].kill()

    def process(self, name: str) -> Process:
        return self._running[name]

    def until_it_works(self, name: str) -> None:
        """A joiner or an archiver says so in the store, once it is told by signals what to do."""
        process = self.process(name)
        with connect(self.store.url) as client:

            def is_listed() -> bool:
                listed = decode_workers(client.hgetall(workers(NAME)))
                return any(seen.worker.pid == process.pid for seen in listed)

            process.wait_until(is_listed, 60.0, "works")

    def stop_helpers(self) -> None:
        """The archiver writes what the learner has told it, and a learner trims behind it."""
        for name in HELPERS:
            self.until_it_works(name)
            code = self._running[name].stop(60.0)
            assert code == 0, f"{name} ended with {code}:\n{self._running[name].output()[-2000:]}"
        with connect(self.store.url) as client:
            after = self.start("learner")
            after.wait_until(lambda: (s := read(client, NAME)) and s.pid == after.pid, 60.0, "runs")
        self.stop_learner()

    def stop_learner(self) -> int:
        """The orderly stop: everything is on disk."""
        return self.learner.stop(60.0)

    def stop_all(self) -> None:
        for name in ("service", "sidecar", "joiner", "learner", "archiver"):
            if name in self._running and self._running[name].alive():
                self._running[name].child.send_signal(signal.SIGCONT)
                self._running[name].stop(60.0)
        if self._store is not None:
            self._store.stop()
        self.proxy.close()

    def spooled(self) -> list[Path]:
        """Files of what the store has not heard of, and of what it will never take."""
        return [*self.data.spool(NAME).glob("*/*.spool"), *self.data.spool(NAME).glob("*.spool")]

    def ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readyz", timeout=2.0).status_code == 200
        except httpx.HTTPError:
            return False

    def now_ms(self) -> int:
        """The store runs on this machine: its clock is ours."""
        return time.time_ns() // 1_000_000


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
