"""Reading a stream of the store by one's own position, without a consumer group.

A group's acknowledgement and its reader's effect are two steps, and what dies between them counts twice. A
reader that keeps its position beside its effect has no such moment.

Nor does it take note of what a failover might take back: where the address asks for replicas, what was
read is given out only when they have it too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, cast

import redis

from sidecar.contracts.scripts.call import text
from sidecar.contracts.store import wait_for_replicas

Entry = tuple[str, dict[bytes, bytes]]
"""Position and fields."""


def read_after(client: redis.Redis, stream: str, position: str, count: int) -> list[Entry]:
    """The next entries of one stream, at most ``count``."""
    read = _entries(client.xrange(stream, f"({position}", "+", count))
    wait_for_replicas(client, [stream] if read else [])
    return read


class Wanted(NamedTuple):
    """A stretch of a stream: what comes after one position, up to and with another."""

    stream: str
    after: str
    until: str = "+"


def command_of(wanted: Wanted, count: int) -> tuple[str | int, ...]:
    """What reads one."""
    return ("XRANGE", wanted.stream, f"({wanted.after}", wanted.until, "COUNT", count)


def entries_in(reply: object) -> list[Entry]:
    """What the store answers to it, as it comes over the wire."""
    found = cast("list[tuple[bytes, list[bytes]]]", reply)
    return [(text(position), _fields(iter(flat))) for position, flat in found or []]


def _fields(flat: Iterator[bytes]) -> dict[bytes, bytes]:
    return dict(zip(flat, flat, strict=True))


def read_all_after(client: redis.Redis, wanted: Sequence[Wanted], count: int) -> list[list[Entry]]:
    """The next entries of several streams, at most ``count`` of each, in one round trip."""
    pipe = client.pipeline(transaction=False)
    for stream, after, until in wanted:
        pipe.xrange(stream, f"({after}", until, count)
    read = [_entries(reply) for reply in pipe.execute()]
    wait_for_replicas(client, [one.stream for one, entries in zip(wanted, read, strict=True) if entries])
    return read


def read_between(client: redis.Redis, stream: str, first: str, last: str) -> list[Entry]:
    """The entries from ``first`` to ``last``, both included, that are still there."""
    return _entries(client.xrange(stream, first, last))


def _entries(reply: object) -> list[Entry]:
    found = cast("list[tuple[bytes, dict[bytes, bytes]]]", reply)
    return [(text(position), fields) for position, fields in found]
