"""A process's memory in pages of 2 MiB, where the kernel makes them.

A lone decision touches some thousand small things that lie all over the heap, each time after other processes
had the core: finding its pages again is a tenth of its price. What the start has loaded is laid together, at
once and by the kernel (Linux 6.1 and later); elsewhere, and where large pages are forbidden, nothing happens.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

LARGE_BYTES = 2 << 20
_COLLAPSE = 25
"""``MADV_COLLAPSE``."""
_MAPS = Path("/proc/self/maps")
_OURS = ("", "[heap]")
"""What memory is called that is of no file."""


def lay_together() -> int:
    """Have what is there in large pages from now on; how many are. For the start: it takes some ms."""
    if not sys.platform.startswith("linux"):
        return 0
    collapse = ctypes.CDLL(None).madvise
    collapse.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    try:
        maps = _MAPS.read_text(encoding="utf-8", errors="replace")
    except OSError:  # a jail without /proc
        return 0
    return sum([collapse(place, LARGE_BYTES, _COLLAPSE) == 0 for place in large_pages(maps.splitlines())])


def large_pages(maps: Iterable[str]) -> Iterator[int]:
    """Addresses of the pages that could be large, of the lines of ``/proc/<pid>/maps``.

    >>> list(map(hex, large_pages(["1ff000-601000 rw-p 00000000 00:00 0"])))
    ['0x200000', '0x400000']
    """
    for line in maps:
        addresses, rights, _, _, _, *name = line.split(None, 5)
        if rights.startswith("rw") and "".join(name) in _OURS:
            first, end = [int(address, 16) for address in addresses.split("-")]
            yield from range(-(-first // LARGE_BYTES) * LARGE_BYTES, end - LARGE_BYTES + 1, LARGE_BYTES)
