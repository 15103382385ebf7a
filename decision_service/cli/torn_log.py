"""Mending the end of an append-only log that a power cut tore, before a server reads it.

A script's effects stand in the log as one transaction. Redis 7.0 drops one whose end is missing from memory,
but leaves its beginning in the file, appends to it, and at the start after that runs the half of it with the
transaction behind it: a reward without its count, a decision without its deadline. The checker that every
Redis binary holds cuts the file at the last whole transaction. Valkey 9 does so by itself.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

_MANIFEST = Path("appendonlydir") / "appendonly.aof.manifest"
_CHECKER = "redis-check-aof"
"""The server's binary, called by this name, is the checker."""


def mend(binary: Path, folder: Path) -> str:
    """Cut a torn end off the log below ``folder``; what the checker said, empty when there was nothing to do.

    Nothing that was acknowledged is lost: a transaction without its end was not. What the checker cannot
    read is left to the server, which says so. Reads the whole log, as the server will.
    """
    if binary.name != "redis-server" or not (folder / _MANIFEST).is_file():
        return ""
    done = subprocess.run(  # noqa: S603 - the store's own binary
        [_CHECKER, "--fix", str(_MANIFEST)],
        executable=binary,
        cwd=folder,
        input="y\n",
        capture_output=True,
        text=True,
        errors="replace",
    )
    return done.stdout + done.stderr
