"""A power cut of the store: what was not on disk yet is gone, and the last command may be torn.

What has been acknowledged is on disk (``appendfsync always``), so only what comes after may be cut. The proxy
holds every reply back; what the append-only file has by then is kept. Everything that the store writes
afterwards was acknowledged to nobody: of it a random number of bytes is left.
"""

from __future__ import annotations

import contextlib
import random
from pathlib import Path

from tests.faults.proxy import Proxy
from tests.faults.stage import Stage
from tests.waiting import until

_GROW_BYTES = 4000
_PATIENCE_S = 3.0


def cut_power(stage: Stage, proxy: Proxy, rng: random.Random) -> int:
    """The store dies, its file is cut, and it starts again; how many bytes are gone."""
    proxy.hold_replies()
    try:
        kept = size_of_log(stage.data.store)
        wanted = rng.randrange(_GROW_BYTES)
        with contextlib.suppress(AssertionError):  # everybody waits for a reply by now: what there is will do
            until(lambda: size_of_log(stage.data.store) > kept + wanted, _PATIENCE_S)
        stage.kill("store")
        gone = cut_tail(stage.data.store, kept, rng)
        stage.start("store")
    finally:
        proxy.drop_held()
    return gone


def cut_tail(folder: Path, kept: int, rng: random.Random) -> int:
    """Cut the log at a random byte beyond the first ``kept``; how many bytes are gone."""
    path = _log_of(folder)
    size = path.stat().st_size
    left = rng.randint(kept, size) if size > kept else size
    with path.open("r+b") as file:
        file.truncate(left)
    return size - left


def size_of_log(folder: Path) -> int:
    """Bytes of the part of the append-only log that is being written."""
    return _log_of(folder).stat().st_size


def _log_of(folder: Path) -> Path:
    parts = list(folder.glob("appendonlydir/*.incr.aof"))
    return max(parts, key=lambda path: int(path.name.split(".")[-3]))
