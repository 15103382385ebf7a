"""What ``sidearm doctor`` looks at: one function a subject, each answering with a finding."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from decision_service.cli.errors import CommandError
from decision_service.cli.platform import check_port
from decision_service.cli.store import FEATURE_STORE, OLDEST_MAJOR, find_binary, running_pid
from sidecar.contracts.errors import BadSettings
from sidecar.contracts.layout import DataFolder
from sidecar.contracts.store_address import FEATURE_STORE as FEATURE_STORE_URL
from sidecar.contracts.store_address import named_address

OLDEST_GLIBC = (2, 28)
"""The oldest that the wheels of Arrow, Polars and DuckDB are built for."""
LEAST_FREE_BYTES = 1 << 30
SLOW_FSYNC_MS = 20.0
"""Every decision waits for one before it is answered."""
_FSYNCS = 20
_UNSYNCHRONISED = 5  # TIME_ERROR in adjtimex(2)


class Finding(NamedTuple):
    """What was found, and what to do about it."""

    state: Literal["fine", "poor", "missing"]
    """``missing`` is needed; ``poor`` works, but not well, or is needed for some commands only."""
    what: str
    found: str
    remedy: str = ""


def examine(data: DataFolder, port: int, environ: Mapping[str, str]) -> list[Finding]:
    """Everything, in the order in which a stranger would meet it."""
    return [
        python(),
        libc(),
        *(package(name, why) for name, why in _PACKAGES.items()),
        store(data, environ),
        *feature_store(data, environ),
        port_free(data, port),
        writable(data),
        durable_write(data),
        disk(data),
        clock(),
        *(program(name, why) for name, why in _PROGRAMS.items()),
    ]


_PACKAGES = {
    "vowpal_wabbit_next": "the learner",
    "fastapi": "the decision service",
    "pyarrow": "the log",
    "duckdb": "sidearm evaluate",
}
_PROGRAMS = {"kubectl": "the manifests' tests", "wrk": "make bench"}


def python(version: tuple[int, ...] = sys.version_info[:3]) -> Finding:
    """3.11 or 3.12: Vowpal Wabbit has no wheels beyond."""
    found = ".".join(map(str, version))
    if (3, 11) <= version[:2] < (3, 13):
        return Finding("fine", "Python", found)
    return Finding("missing", "Python", found, "install 3.11 or 3.12 and say `make PYTHON=python3.12 …`")


def libc(name_and_version: tuple[str, str] | None = None) -> Finding:
    """The binary wheels need a recent glibc on Linux."""
    name, version = name_and_version or platform.libc_ver()
    if sys.platform != "linux":
        return Finding("fine", "C library", sys.platform)
    numbers = tuple(int(part) for part in version.split(".") if part.isdigit())
    if name == "glibc" and numbers >= OLDEST_GLIBC:
        return Finding("fine", "C library", f"glibc {version}")
    wanted = ".".join(map(str, OLDEST_GLIBC))
    return Finding(
        "missing", "C library", f"{name or 'not glibc'} {version}".strip(), f"needs glibc >= {wanted}"
    )


def package(name: str, why: str) -> Finding:
    """Whether a package imports: in a process of its own, since a broken binary may crash."""
    if importlib.util.find_spec(name) is None:
        return Finding("missing", name, "not installed", f"{why} needs it: `make run` installs all")
    command = [sys.executable, "-c", f"import {name}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)  # noqa: S603 - our own names
    if done.returncode == 0:
        return Finding("fine", name, "imports")
    last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    return Finding("missing", name, last, f"{why} needs it: `make distclean`, then `make run`")


def store(data: DataFolder, environ: Mapping[str, str]) -> Finding:
    """A store to use: the one that REDIS_URL names, else a server to start."""
    try:
        url = named_address(environ)
    except BadSettings as error:
        return Finding("missing", "store", "no address", str(error))
    if url:
        return _store_at(url)
    if pid := running_pid(data):
        return Finding("fine", "store", f"runs already on {data.root} (pid {pid})")
    try:
        binary = find_binary(environ.get("PATH"))
    except CommandError as error:
        return Finding("missing", "store", "none", str(error))
    return Finding("fine", "store", f"{binary.path} {binary.version}")


def feature_store(data: DataFolder, environ: Mapping[str, str]) -> list[Finding]:
    """One that has an address of its own, or runs in the data folder; else there is nothing to look at."""
    try:
        url = named_address(environ, FEATURE_STORE_URL)
    except BadSettings as error:
        return [Finding("missing", "feature store", "no address", str(error))]
    if url:
        return [_feature_store_at(url)]
    if pid := running_pid(data, FEATURE_STORE):
        return [Finding("fine", "feature store", f"runs already on {data.root} (pid {pid})")]
    return []


def _feature_store_at(url: str) -> Finding:
    from sidecar.contracts.errors import ContractError
    from sidecar.contracts.store import StoreError, connect

    try:
        with connect(url, timeout_s=2.0) as client:
            version = client.info("server")["redis_version"]
    except (StoreError, ContractError, OSError) as error:
        found = f"{FEATURE_STORE_URL} does not answer: {error}"
        return Finding("missing", "feature store", found, f"start it, or unset {FEATURE_STORE_URL}")
    return Finding("fine", "feature store", f"{FEATURE_STORE_URL}, version {version}")


def _store_at(url: str) -> Finding:
    from sidecar.contracts.errors import ContractError
    from sidecar.contracts.store import StoreError, connect

    try:
        with connect(url, timeout_s=2.0) as client:
            version = str(client.info("server")["redis_version"])
            policy = client.info("memory")["maxmemory_policy"]
            durable = client.info("persistence")["aof_enabled"]
    except (StoreError, ContractError, OSError) as error:
        return Finding(
            "missing", "store", f"REDIS_URL does not answer: {error}", "start it, or unset REDIS_URL"
        )
    if int(version.split(".")[0]) < OLDEST_MAJOR:
        return Finding("missing", "store", f"version {version}", f"scripts need {OLDEST_MAJOR} or newer")
    if policy != "noeviction" or not durable:
        found = f"version {version}, {policy}, append-only file {'on' if durable else 'off'}"
        return Finding(
            "poor", "store", found, "set `maxmemory-policy noeviction`, `appendonly yes`: else data is lost"
        )
    return Finding("fine", "store", f"REDIS_URL, version {version}")


def port_free(data: DataFolder, port: int) -> Finding:
    """Whether the decision service can listen."""
    try:
        check_port(port)
    except CommandError as error:
        if running_pid(data):
            return Finding("fine", f"port {port}", "taken; the platform runs here")
        return Finding("missing", f"port {port}", "taken", str(error).rpartition(": ")[2])
    return Finding("fine", f"port {port}", "free")


def writable(data: DataFolder) -> Finding:
    """Whether the data folder can be written, and holds sockets."""
    parent = _nearest(data.root)
    if not os.access(parent, os.W_OK | os.X_OK):
        return Finding("missing", "data folder", f"{parent} cannot be written", "choose another with --data")
    try:
        data.store_socket()  # the longer one of the two
    except ValueError as error:
        return Finding("missing", "data folder", "its path is too long", str(error))
    return Finding("fine", "data folder", str(data.root))


def durable_write(data: DataFolder) -> Finding:
    """How long one fsync takes where the store will write: a decision waits for it."""
    try:
        with tempfile.NamedTemporaryFile(dir=_nearest(data.root), prefix=".doctor-") as file:
            took_ms = sorted(_fsync_ms(file.fileno()) for _ in range(_FSYNCS))[_FSYNCS // 2]
    except OSError as error:
        return Finding("missing", "durable write", error.strerror or str(error), "choose another --data")
    if took_ms > SLOW_FSYNC_MS:
        return Finding("poor", "durable write", f"{took_ms:.1f} ms", "put the data folder on a faster disk")
    return Finding("fine", "durable write", f"{took_ms:.2f} ms")


def _fsync_ms(descriptor: int) -> float:
    began = time.perf_counter()
    os.write(descriptor, b"x" * 1024)
    os.fsync(descriptor)
    return 1000 * (time.perf_counter() - began)


def disk(data: DataFolder) -> Finding:
    """Room for the log and the store's files."""
    free = shutil.disk_usage(_nearest(data.root)).free
    found = f"{free / (1 << 30):.1f} GiB free"
    if free >= LEAST_FREE_BYTES:
        return Finding("fine", "disk", found)
    return Finding("poor", "disk", found, "make room: the store's log is rewritten when it has doubled")


def clock(now_s: float | None = None) -> Finding:
    """Whether this machine knows the time: dates of the log and of answers come from it."""
    now_s = time.time() if now_s is None else now_s
    found = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(now_s))
    if now_s < Path(__file__).stat().st_mtime - 86_400:
        return Finding("missing", "clock", f"{found}: before this program was installed", "set the clock")
    if _kernel_says_unsynchronised():
        return Finding(
            "poor", "clock", f"{found}, not synchronised", "run a time service (chrony, systemd-timesyncd)"
        )
    return Finding("fine", "clock", found)


def _kernel_says_unsynchronised() -> bool:
    if sys.platform != "linux":
        return False
    only_ask = ctypes.create_string_buffer(512)  # a struct timex, all zero: change nothing
    return bool(ctypes.CDLL(None).adjtimex(only_ask) == _UNSYNCHRONISED)


def program(name: str, why: str) -> Finding:
    """A program that some commands use."""
    if found := shutil.which(name):
        return Finding("fine", name, found)
    return Finding("poor", name, "not found", f"only {why} uses it: install {name}")


def _nearest(folder: Path) -> Path:
    """The folder itself, or the first one above it that exists."""
    folder = folder.absolute()
    return next(place for place in (folder, *folder.parents) if place.exists())
