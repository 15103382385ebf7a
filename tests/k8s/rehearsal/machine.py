"""Where this machine differs from a container: programs, host names, and the paths of the root."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from decision_service.cli.store import find_binary

_HOST = re.compile(r"(?<=//)[a-z0-9-]+(?=[.:/]|$)")


def address(pod: int) -> str:
    """An address on the loopback that is this process's and the pod's own, so that all ports are free."""
    mine = os.getpid() % 40_000
    return f"127.{16 + mine // 200}.{mine % 200}.{pod + 1}"


def program(command: Sequence[str], ip: str) -> list[str]:
    """The command as it runs here: our Python, this machine's store, bound to the pod's address."""
    name, rest = command[0], list(command[1:])
    if name == "python":
        return [sys.executable, *rest]
    if name == "sidearm":
        return [sys.executable, "-m", "decision_service.cli.main", *rest]
    if name in ("valkey-server", "redis-server"):
        return [str(find_binary().path), *rest, "--bind", ip, "--protected-mode", "no"]
    if name in ("valkey-cli", "redis-cli"):
        found = shutil.which("redis-cli") or shutil.which("valkey-cli")
        return [found or name, "-h", ip, *rest]
    return [name, *rest]


@functools.cache
def can_lock() -> bool:
    """Whether this machine lets us have mounts of our own: as root on Linux, mostly."""
    if shutil.which("unshare") is None:
        return False
    return subprocess.run(locked(["true"], Path("/tmp")), capture_output=True).returncode == 0


def locked(command: Sequence[str], folder: Path) -> list[str]:
    """The command with everything read-only but ``folder``, which holds the volumes: as in the cluster.

    The mounts are the process's own; it keeps its number, and signals reach it.
    """
    script = 'mount --bind "$0" "$0" && mount -o remount,bind,ro / && exec "$@"'
    return ["unshare", "--mount", "sh", "-c", script, str(folder.resolve()), *command]


def resolved(text: str, hosts: Mapping[str, str]) -> str:
    """Names of services in an address replaced by where they are; longer names of the cluster too.

    >>> resolved("redis://store:6379/0", {"store": "127.0.0.9"})
    'redis://127.0.0.9:6379/0'
    """
    short = re.sub(r"(?<=//)([a-z0-9-]+)(\.[a-z0-9-]+)*\.svc(\.cluster\.local)?", r"\1", text)
    return _HOST.sub(lambda found: hosts.get(found[0], found[0]), short)


def placed(text: str, root: Path, mounts: Sequence[str]) -> str:
    """A path of the container as a path of this machine, if it is one.

    >>> placed("/data/checkpoints", Path("/tmp/pod"), ["/data"])
    '/tmp/pod/data/checkpoints'
    >>> placed("/readyz", Path("/tmp/pod"), ["/data"])
    '/readyz'
    """
    if not text.startswith("/") or text == "/":
        return text
    path = PurePosixPath(text)
    of_it = any(path.is_relative_to(mount) or PurePosixPath(mount).is_relative_to(path) for mount in mounts)
    return f"{root}{text}" if of_it else text
