"""One application's processes on this machine: started in order, watched, stopped in reverse."""

from __future__ import annotations

import contextlib
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from decision_service.auth import ensure_development_key
from decision_service.cli.children import Child, start_child, stop_child, tail
from decision_service.cli.copied_tables import copy_tables
from decision_service.cli.errors import CommandError, PortTaken, ProcessDied
from decision_service.cli.store import FEATURE_STORE, EmbeddedStore, start_store
from sidecar.contracts.application import Application, load_application
from sidecar.contracts.catalogue import load_catalogue
from sidecar.contracts.errors import BadSettings
from sidecar.contracts.layout import DataFolder
from sidecar.contracts.store import StoreError, connect
from sidecar.contracts.store_address import Stores, named_address, named_feature_store, stores_of

MODULES = {
    "sidecar": "sidecar.server",
    "service": "decision_service",
    "learner": "policy_learner",
    "joiner": "policy_learner.joiner",
    "archiver": "policy_learner.archiver",
    "evaluation": "offline_eval.nightly",
}
ALL = ("sidecar", "learner", "service")
"""In the order of start; the order of stop is the reverse, so that no answer waits for what is gone."""
ARCHIVER = "SIDEARM_LEARNER_ARCHIVER"
"""The learner's setting that says who writes the log."""
EVALUATION = "SIDEARM_EVALUATION_AT"
"""The setting that says when other policies are evaluated: where it is empty, nobody waits for that time."""
LINES = "SIDEARM_DECISION_SERVICE_SIDECAR_CONNECTIONS"
WORKERS, SIDECARS = "SIDEARM_DECISION_SERVICE_WORKERS", "SIDEARM_SIDECAR_WORKERS"
"""The settings that say how many processes share the port, and the sidecar's socket."""
STOP_PATIENCE_S = 30.0
COPY_PATIENCE_S = 60.0
BAD_SETTINGS = 2
"""Exit code of a process that cannot start as configured."""
_POLL_S = 0.02


@dataclass(frozen=True)
class Part:
    """One running process."""

    name: str
    child: Child
    log: Path

    def state(self) -> str:
        """``running``, or how it ended."""
        code = self.child.poll()
        return "running" if code is None else f"ended with code {code}"


@dataclass
class Platform:
    """Processes of one application over one data folder; see :func:`started`.

    A part that ends by itself is not started again: :meth:`check` says so, with the end of its log.
    """

    folder: Path
    data: DataFolder
    port: int
    environ: Mapping[str, str]
    application: Application
    key: str
    """The development key, with every role."""
    store: EmbeddedStore | None = None
    """None where ``REDIS_URL`` names a store of its own."""
    feature_store: EmbeddedStore | None = None
    """None where one is named, or the store is, and for an application without features of its own."""
    tables_copied: int = 0
    """Tables of features that the store had from before there was a feature store."""
    parts: list[Part] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Where the decision service answers."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def store_url(self) -> str:
        """Where the store is."""
        return self._stores.store

    @property
    def feature_store_url(self) -> str:
        """Where the tables of features are."""
        return self._stores.features

    @property
    def servers(self) -> list[EmbeddedStore]:
        """The embedded ones, in the order of start."""
        return [server for server in (self.store, self.feature_store) if server]

    def start_servers(self) -> None:
        """The store and, for an application with features of its own, the feature store: what is not named.

        Raises:
            CommandError: one does not start, or does not take the tables that the other one had.
        """
        if not named_address(self.environ):
            self.store = start_store(self.data)
        if self.application.features and not named_feature_store(self.environ):
            self.feature_store = start_store(self.data, FEATURE_STORE)
            self.tables_copied = _copied(self._stores, self.application.name)

    def start(self, name: str) -> Part:
        """Start one of :data:`MODULES`, or ``joiner-<n>``; its output goes to ``run/<name>.log``."""
        log = self.data.run / f"{name}.log"
        command = [
            sys.executable,
            "-m",
            MODULES[name.partition("-")[0]],
            "--app",
            str(self.folder),
            "--data",
            str(self.data.root),
        ]
        environ = {**self.environ, "SIDEARM_DECISION_SERVICE_PORT": str(self.port)}
        part = Part(name, start_child(command, log, environ=environ), log)
        self.parts.append(part)
        return part

    def check(self) -> None:
        """See that everything still runs.

        Raises:
            BadSettings: a process cannot start as configured; its own words.
            ProcessDied: with the end of the log of what does not.
        """
        for part in self.parts:
            if part.child.poll() == BAD_SETTINGS:
                raise BadSettings(f"{part.name}: {_last_line(part.log)}")
            if part.child.poll() is not None:
                raise ProcessDied(f"{part.name} {part.state()}:\n{tail(part.log)}\nits log: {part.log}")
        for server in self.servers:
            if (code := server.exit_code()) is not None:
                raise ProcessDied(f"{server.kind.name} ended with code {code}:\n{tail(server.log)}")

    def wait_until_ready(self, deadline_s: float = 60.0) -> None:
        """Until the sidecar listens and the service, where there is one, says that it is ready.

        Raises:
            BadSettings: a process cannot start as configured.
            ProcessDied: a process ended meanwhile, or was not ready in time.
        """
        end = time.monotonic() + deadline_s
        while not self._ready():
            self.check()
            if time.monotonic() > end:
                logs = ", ".join(str(part.log) for part in self.parts)
                raise ProcessDied(f"not ready within {deadline_s:g} s: see {logs}")
            time.sleep(_POLL_S)

    def stop(self) -> None:
        """SIGTERM in reverse order of start, each awaited; the store last."""
        while self.parts:
            stop_child(self.parts.pop().child, STOP_PATIENCE_S)
        for server in reversed(self.servers):
            server.stop()

    @property
    def _stores(self) -> Stores:
        return stores_of(self.environ, self.data)

    def _ready(self) -> bool:
        names = {part.name for part in self.parts}
        if "sidecar" in names and not _listens(self.data.sidecar_socket(self.application.name)):
            return False
        return "service" not in names or _answers(f"{self.url}/readyz")


@contextlib.contextmanager
def started(
    folder: Path,
    data: DataFolder,
    *,
    port: int,
    environ: Mapping[str, str],
    parts: Sequence[str] = ALL,
    store: bool = True,
) -> Iterator[Platform]:
    """The platform, ready; everything is stopped at the end, whatever happened.

    Args:
        folder: the application's.
        data: where everything is kept; two platforms need two of them, or one that brings the store.
        port: of the decision service.
        environ: what the processes see; ``REDIS_URL`` and ``FEATURE_STORE_URL`` name stores instead of the
            embedded ones.
        parts: which of :data:`ALL`, in the order of start.
        store: False when the embedded stores of this data folder are run by somebody else.

    Raises:
        BadApplication: the folder cannot be used.
        BadSettings: a process cannot start as configured.
        CommandError: the port is taken, or a process did not start.
    """
    application = load_application(folder)
    load_catalogue(folder, application)
    if "service" in parts:
        check_port(port)
    data.run.mkdir(parents=True, exist_ok=True)
    key = ensure_development_key(data.keys)
    platform = Platform(folder, data, port, environ, application, key)
    try:
        if store:
            platform.start_servers()
        for name in parts:
            platform.start(name)
        platform.wait_until_ready()
        yield platform
    finally:
        platform.stop()


def parts_of(folder: Path, environ: Mapping[str, str], joiners: int) -> tuple[str, ...]:
    """The processes of an application, in the order of start, with so many joiners beside the learner.

    The archiver, where the settings say that it is a process of its own, ends after the learner: it then
    writes what that one learnt last.

    Raises:
        BadApplication: the folder cannot be used.
    """
    application = load_application(folder)
    told = environ.get(ARCHIVER) or application.learner.get("archiver")
    archiver = ("archiver",) if told == "apart" else ()
    evaluation = ("evaluation",) if environ.get(EVALUATION, application.evaluation.get("at")) else ()
    return (
        "sidecar", *archiver, *evaluation, "learner", *(f"joiner-{n}" for n in range(1, joiners + 1)),
        "service",
    )  # fmt: skip


def free_port() -> int:
    """A TCP port of the loopback address nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def check_port(port: int) -> None:
    """See that the decision service can have that port.

    Raises:
        PortTaken: somebody else listens there: without this look, their answers would pass for ours.
    """
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError as error:
        raise PortTaken(
            f"port {port} is taken ({error.strerror or error}): end what listens there, or choose another"
            " with --port"
        ) from error


def _copied(stores: Stores, app: str) -> int:
    try:
        with (
            connect(stores.store, timeout_s=COPY_PATIENCE_S) as store,
            connect(stores.features, timeout_s=COPY_PATIENCE_S) as features,
        ):
            return copy_tables(store, features, app)
    except (StoreError, OSError) as error:
        raise CommandError(
            f"the store's tables of features could not be copied into the feature store ({error}): start "
            f"again, or leave them where they are with FEATURE_STORE_URL={stores.store}"
        ) from error


def _last_line(log: Path) -> str:
    return tail(log, lines=1).strip()


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as line:
        return line.connect_ex(str(path)) == 0


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2.0) as reply:  # noqa: S310 - our own loopback address
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False
