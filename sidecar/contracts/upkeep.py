"""What keeps the join going when nobody asks: finalise, give up orphans, check the books. For the learner."""

from __future__ import annotations

from typing import cast

from sidecar.contracts.books import Books, books, counters_of
from sidecar.contracts.keys import ANSWER_RETENTION_MS, Keys
from sidecar.contracts.scripts.call import Call
from sidecar.contracts.scripts.finalise import BATCH, finalise_call
from sidecar.contracts.scripts.orphan import orphan_call
from sidecar.contracts.scripts.strangers import Members, sorted_out, strangers_call
from sidecar.contracts.store import Scripts, WatchError, store_now_ms

_COUNTS = 5
"""Attempts to count the waiting rewards while nothing moves."""


def finalise_due(
    scripts: Scripts,
    keys: Keys,
    *,
    tombstone_ms: int,
    retention_ms: int = ANSWER_RETENTION_MS,
    batch: int = BATCH,
) -> int:
    """Finalise up to ``batch`` decisions whose horizon has ended; how many were looked at.

    Call again until it is 0. Decisions of one partition come out in the order of their deadlines.
    """
    found = _due_until_now(scripts, keys, keys.due, batch)
    if found.ids:
        scripts.run(finalise_call(keys, found.ids, tombstone_ms=tombstone_ms, retention_ms=retention_ms))
    return len(found.ids) + len(found.strangers)


def give_up_orphans(scripts: Scripts, keys: Keys, *, batch: int = BATCH) -> int:
    """Stop waiting for up to ``batch`` decisions that never came; how many were looked at.

    Call again until it is 0.
    """
    found = _due_until_now(scripts, keys, keys.orphans, batch)
    if found.ids:
        scripts.run(orphan_call(keys, found.ids))
    return len(found.ids) + len(found.strangers)


def read_books(scripts: Scripts, keys: Keys, *, count_rewards: bool = False) -> Books:
    """The books of a partition at one moment.

    Args:
        scripts: of a synchronous client.
        keys: the partition.
        count_rewards: count the rewards that wait, one decision after another: exact while decisions are
            pending too, for a partition at rest; where it never rests, they are not counted after all.
    """
    if count_rewards:
        for _ in range(_COUNTS):
            try:
                return _counted_books(scripts, keys)
            except WatchError:
                continue
    stored, pending, awaited = scripts.run(Call("books", (keys.due, keys.orphans, keys.counters), ()))
    return books(counters_of(dict(zip(stored[::2], stored[1::2], strict=True))), pending, awaited)


def _counted_books(scripts: Scripts, keys: Keys) -> Books:
    """Raises ``WatchError`` when a script ran meanwhile: every one of them writes the counters."""
    with scripts.client.pipeline(transaction=True) as pipe:
        pipe.watch(keys.counters)  # type: ignore[no-untyped-call]
        pending, awaited = pipe.zrange(keys.due, 0, -1), pipe.zrange(keys.orphans, 0, -1)
        pipe.multi()
        pipe.hgetall(keys.counters)
        for decision_id in (*pending, *awaited):
            pipe.hlen(keys.rewards(decision_id.decode(errors="replace")))
        stored, *held = pipe.execute()
    return books(counters_of(stored), len(pending), len(awaited), sum(held))


def _due_until_now(scripts: Scripts, keys: Keys, zset: str, batch: int) -> Members:
    """What is no id is taken away at once."""
    until_ms = store_now_ms(scripts.client, keys)
    members = scripts.client.zrange(zset, "-inf", until_ms, byscore=True, offset=0, num=batch)
    found = sorted_out(cast("list[bytes]", members))
    if found.strangers:
        scripts.run(strangers_call(keys, found.strangers))
    return found
