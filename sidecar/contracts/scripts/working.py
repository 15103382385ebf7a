"""``lease.lua`` and ``working.lua``: who closes which partition, and how those are that help the learner."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

import msgspec
from msgspec import Struct

from sidecar.contracts import keys as app_keys
from sidecar.contracts.keys import Keys
from sidecar.contracts.scripts.call import Call


class Lease(NamedTuple):
    """A partition's lease."""

    holder: str
    until_ms: int
    """By the partition's clock."""


class Worker(Struct, frozen=True, kw_only=True):
    """What a joiner or an archiver says of itself."""

    kind: Literal["joiner", "archiver"]
    pid: int
    partitions: tuple[int, ...] = ()
    """Of a joiner: those whose lease it holds."""
    done: int = 0
    """Decisions and orphans closed, or rows written, since it started."""
    waiting: int = 0
    """Of an archiver: rows read and not yet in a file."""
    lag_ms: int = 0
    """Of an archiver: age of the oldest entry that it has read and is in no file; 0 if there is none."""
    error: str = ""
    """Empty while all is well."""


class Seen(NamedTuple):
    """A worker, and when it was last heard of."""

    name: str
    at_ms: int
    """By the application's clock in the store."""
    worker: Worker


def lease_call(keys: Keys, holder: str, ttl_ms: int, of: str = "") -> Call:
    """Take, keep or (``ttl_ms`` 0) give back a partition's lease; ``of``: whom it may be taken from."""
    return Call("lease", (keys.lease, keys.counters, keys.skew), (holder, ttl_ms, of))


def decode_lease(stored: bytes | None) -> Lease | None:
    """What is stored; None when nobody ever had it, or it was given back.

    >>> decode_lease(b"joiner-7|1700000000000")
    Lease(holder='joiner-7', until_ms=1700000000000)
    """
    holder, bar, until_ms = (stored or b"").decode(errors="replace").rpartition("|")
    return Lease(holder, int(until_ms)) if bar and until_ms.isdecimal() else None


def working_call(app: str, name: str, worker: Worker | None) -> Call:
    """Say how a worker is; None: it has stopped."""
    where = (app_keys.workers(app), app_keys.weights(app), app_keys.app_skew(app))
    return Call("working", where, (name, msgspec.json.encode(worker) if worker else b""))


def decode_workers(stored: Mapping[bytes, bytes]) -> list[Seen]:
    """Those that have said something, by name; what cannot be read is left out: it is a word for people."""
    found = [_decode(name.decode(errors="replace"), said) for name, said in sorted(stored.items())]
    return [seen for seen in found if seen is not None]


def _decode(name: str, said: bytes) -> Seen | None:
    at_ms, _, report = said.partition(b"|")
    try:
        return Seen(name, int(at_ms), msgspec.json.decode(report, type=Worker))
    except (ValueError, msgspec.MsgspecError):
        return None
