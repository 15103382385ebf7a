"""Leases: which joiner closes the decisions of which partition.

They save work and guard nothing: two who close the same decision find that the script does it once. So a
lease may be taken from somebody who is alive, its end needs no great care, and the learner, which closes what
nobody has, only looks at them and never holds one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple, cast

import redis

from policy_learner.timing import Every
from sidecar.contracts.books import clock_of
from sidecar.contracts.keys import Keys
from sidecar.contracts.scripts.working import decode_lease, lease_call
from sidecar.contracts.store import Scripts

NOBODY = ""


class Wish(NamedTuple):
    """A lease to take."""

    place: int
    """Of the partition, among all of them."""
    of: str
    """Who has it now; empty: nobody, or oneself."""


def holders(client: redis.Redis, partitions: Sequence[Keys]) -> list[str]:
    """Who holds each partition's lease now; :data:`NOBODY` where none runs."""
    pipe = client.pipeline(transaction=False)
    pipe.time()
    for keys in partitions:
        pipe.get(keys.lease)
        pipe.get(keys.skew)
        pipe.hget(keys.counters, "clock_ms")
    (seconds, micros), *replies = pipe.execute()
    now_ms = int(seconds) * 1000 + int(micros) // 1000
    found = []
    for stored, skew_ms, guard_ms in zip(replies[0::3], replies[1::3], replies[2::3], strict=True):
        lease = decode_lease(cast("bytes | None", stored))
        here_ms = max(now_ms + int(skew_ms or 0), clock_of(guard_ms))
        found.append(lease.holder if lease and lease.until_ms > here_ms else NOBODY)
    return found


def wishes(held: Sequence[str], me: str) -> list[Wish]:
    """What to keep, what to take because nobody has it, and what to take from who has two more than oneself.

    >>> wishes(["", "a", "b", "a"], "a")
    [Wish(place=0, of=''), Wish(place=1, of=''), Wish(place=3, of='')]
    >>> wishes(["a", "a", "a", "a", "b"], "c")
    [Wish(place=0, of='a'), Wish(place=1, of='a')]
    """
    wanted = [Wish(place, NOBODY) for place, holder in enumerate(held) if holder in (NOBODY, me)]
    counts = Counter(holder for holder in held if holder not in (NOBODY, me))
    left = {name: [place for place, holder in enumerate(held) if holder == name] for name in counts}
    while counts:
        richest = min(counts, key=lambda name: (-counts[name], name))
        if counts[richest] < len(wanted) + 2:
            break
        wanted.append(Wish(left[richest].pop(0), richest))
        counts[richest] -= 1
    return wanted


def take(scripts: Scripts, partitions: Sequence[Keys], me: str, ttl_ms: int) -> list[Keys]:
    """Keep mine, take what is free, level what is uneven; the partitions whose lease is mine now."""
    wanted = wishes(holders(scripts.client, partitions), me)
    calls = [lease_call(partitions[wish.place], me, ttl_ms, wish.of) for wish in wanted]
    replies = [scripts.run(call) for call in calls]
    return [partitions[wish.place] for wish, mine in zip(wanted, replies, strict=True) if mine]


def give_back(scripts: Scripts, partitions: Sequence[Keys], me: str) -> None:
    """Let others have them at once."""
    for keys in partitions:
        scripts.run(lease_call(keys, me, 0))


class Free:
    """The partitions that no joiner has, as the learner sees them: looked up once in a while.

    Args:
        client: of the store.
        partitions: all of them.
        timer: when to look again.
    """

    def __init__(self, client: redis.Redis, partitions: Sequence[Keys], timer: Every) -> None:
        self._client, self._all, self._timer = client, partitions, timer
        self._free: list[Keys] | None = None

    def partitions(self) -> list[Keys]:
        """Those to work on."""
        if self._free is None or self._timer.due:
            self._timer.restart()
            held = holders(self._client, self._all)
            self._free = [keys for keys, holder in zip(self._all, held, strict=True) if holder == NOBODY]
        return self._free
