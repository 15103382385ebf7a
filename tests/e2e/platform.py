"""The four processes of the platform, each of which a test may kill and start again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import httpx

from decision_service.auth import ensure_development_key
from decision_service.cli.store import EmbeddedStore, start_store
from sidecar.contracts.layout import DataFolder
from tests.processes import Process, Processes

MODULES = {"sidecar": "sidecar.server", "service": "decision_service", "learner": "policy_learner"}


def write_application(folder: Path, *, horizon_s: float, partitions: int = 2) -> Path:
    """A small application: three arms, two of them alike."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "app.toml").write_text(
        f'name = "kill"\npartitions = {partitions}\n'
        f"[reward]\nhorizon_s = {horizon_s}\nearly_window_s = 5\n"
        "[decision_service]\ndeadline_ms = 1000\nscore_timeout_ms = 900\n"
    )
    arms = [{"id": f"arm-{n}", "features": {"kind": "ab"[n % 2], "price": float(n)}} for n in range(3)]
    (folder / "arms.json").write_text(json.dumps(arms))
    return folder


class Platform:
    """Store, sidecar, service and learner over one application and one data folder.

    Args:
        processes: starts them.
        application: its folder.
        data: their data.
        port: of the service.
        environ: of all of them, on top of ours; ``REDIS_URL`` in it stands for the store.
    """

    def __init__(
        self,
        processes: Processes,
        application: Path,
        data: DataFolder,
        port: int,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.application = application
        self.data = data
        self.url = f"http://127.0.0.1:{port}"
        self.key = ensure_development_key(data.keys)
        self._environ = {"SIDEARM_DECISION_SERVICE_PORT": str(port), **(environ or {})}
        self._processes = processes
        self._store: EmbeddedStore | None = None
        self._running: dict[str, Process] = {}

    @property
    def store(self) -> EmbeddedStore:
        """The store, which must have been started."""
        assert self._store is not None
        return self._store

    def start_all(self) -> None:
        """Everything, and the service answers."""
        for name in ("store", *MODULES):
            self.start(name)
        self.wait_until_ready()

    def start(self, name: str) -> None:
        """One of them."""
        if name == "store":
            self._store = start_store(self.data)
            return
        arguments = ("--app", self.application, "--data", self.data.root)
        self._running[name] = self._processes.start(
            MODULES[name], *arguments, environ=self._environ, name=name
        )

    def kill(self, name: str) -> None:
        """kill -9, and it is gone."""
        self.store.kill() if name == "store" else self._running[name].kill()

    def stop(self, name: str) -> int:
        """SIGTERM; the exit code."""
        return self.store.stop() if name == "store" else self._running[name].stop(60.0)

    def wait_until_ready(self) -> None:
        """The service says that it can answer."""
        self._running["service"].wait_until(self.ready, 60.0)

    def ready(self) -> bool:
        """Whether the service answers its readiness probe."""
        try:
            return httpx.get(f"{self.url}/readyz", timeout=2.0).status_code == 200
        except httpx.HTTPError:
            return False

    def output(self, name: str) -> str:
        """What the process said."""
        return self._running[name].output()

    def remove(self) -> None:
        """Delete the data."""
        shutil.rmtree(self.data.root, ignore_errors=True)
