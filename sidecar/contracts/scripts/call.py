"""A script call as data: which script, with which keys and arguments. Whoever holds a client sends it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from importlib import resources
from typing import NamedTuple

import msgpack

NAMES = (
    *(
        "decide",
        "reward",
        "activate",
        "finalise",
        "orphan",
        "strangers",
        "heal",
        "publish",
        "epoch",
        "status",
        "books",
    ),
    *("keep", "forget", "pin", "serving", "roster", "contests", "explore"),
    *("lease", "working"),
    "sums",
    "catalogue",
)
"""Every script; each is ``<name>.lua`` beside this file."""

_SHARED = ("clock.lua", "pending.lua")


class Call(NamedTuple):
    """What to send: all keys that the script may touch are in ``keys``."""

    script: str
    keys: tuple[str, ...]
    args: tuple[bytes | str | int, ...]


@cache
def script_text(name: str) -> str:
    """A script as the store runs it: its first line (the flags), what all of them share, then itself.

    Read once: a status is told many times a second, and all of them are registered for each client.
    """
    folder = resources.files(__package__)
    flags, _, body = (folder / f"{name}.lua").read_text().partition("\n")
    shared = "\n".join((folder / name).read_text() for name in _SHARED)
    return f"{flags}\n{shared}\n{body}"


def pack(entries: Iterable[Sequence[str | bytes]]) -> bytes:
    """Entries of text as one msgpack argument: *raw* throughout, since the store's unpacker refuses *bin*.

    Whole numbers travel as text too: Lua rounds them above 2**53.
    """
    packed: bytes = _packer.pack([*map(tuple, entries)])
    return packed


_packer = msgpack.Packer(use_bin_type=False)
"""One for all: each has a quarter of a megabyte to write into, and text is packed in one step of C."""


def text(value: bytes | str) -> str:
    """Text of a reply, whether or not the client decoded it."""
    return value.decode() if isinstance(value, bytes) else value
