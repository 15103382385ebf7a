"""Where examples come from: what is due is finalised, and what was finalised is read by our own positions."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeVar, cast

import redis

from policy_learner.failpoints import reached
from policy_learner.join.streams import Entry, Wanted
from policy_learner.learning.teaching import Teaching, teaching_of
from sidecar.contracts.application import Application
from sidecar.contracts.books import clock_of
from sidecar.contracts.errors import BadEvent, BadId
from sidecar.contracts.events import JoinedDecision, decode_logged
from sidecar.contracts.ids import tombstone
from sidecar.contracts.keys import Keys
from sidecar.contracts.reward_section import RewardConfig
from sidecar.contracts.scripts.call import Call
from sidecar.contracts.scripts.finalise import decode_example, finalise_call
from sidecar.contracts.scripts.orphan import orphan_call
from sidecar.contracts.scripts.strangers import sorted_out, strangers_call
from sidecar.contracts.slots import slots_of
from sidecar.contracts.store import Scripts

Part = TypeVar("Part")
Read = Callable[[Sequence[Wanted], int], list[list[Entry]]]
"""Reads the next entries of streams, at most so many of each."""

_CALLS_AT_ONCE = 8
"""The store has the next one at hand when it is done with one; between them it answers others."""

log = logging.getLogger("sidearm.learner")


class Lesson(NamedTuple):
    """One entry, or one slot of it, and what it teaches."""

    entry: Entry
    joined: JoinedDecision
    taught: Teaching


class Chunk(NamedTuple):
    """Consecutive entries of one partition; ``first`` and ``last`` count those that could not be decoded."""

    partition: int
    first: str
    last: str
    lessons: list[Lesson]
    undecoded: list[tuple[Entry, str]]
    """Entries that are no example, and why."""


class Waiting(NamedTuple):
    """Ids of one partition whose time has come."""

    keys: Keys
    due: list[str]
    orphans: list[str]
    strangers: list[bytes]
    """Among both, what is no id."""


def find_due(client: redis.Redis, partitions: Sequence[Keys], most: int) -> list[Waiting]:
    """Up to ``most`` due decisions and given-up orphans of each partition, in two round trips."""
    if not partitions:
        return []
    clock = client.pipeline(transaction=False)
    clock.time()
    for keys in partitions:
        clock.get(keys.skew)
        clock.hget(keys.counters, "clock_ms")
    (seconds, micros), *moved = clock.execute()
    now_ms = int(seconds) * 1000 + int(micros) // 1000
    ranges = client.pipeline(transaction=False)
    for keys, skew_ms, guard_ms in zip(partitions, moved[::2], moved[1::2], strict=True):
        until_ms = max(now_ms + int(skew_ms or 0), clock_of(guard_ms))
        for zset in (keys.due, keys.orphans):
            ranges.zrange(zset, "-inf", until_ms, byscore=True, offset=0, num=most)
    found = [sorted_out(cast("list[bytes]", members)) for members in ranges.execute()]
    return [
        Waiting(keys, due.ids, orphans.ids, due.strangers + orphans.strangers)
        for keys, due, orphans in zip(partitions, found[::2], found[1::2], strict=True)
    ]


def close_due(scripts: Scripts, waiting: Sequence[Waiting], batch: int, tombstone_ms: int) -> int:
    """Finalise the due decisions of partitions and give up their orphans; how many ids were handed in."""
    for one in waiting:
        if one.strangers:
            log.error("partition %d: no decisions: %r", one.keys.partition, one.strangers[:8])
            scripts.run(strangers_call(one.keys, one.strangers))
    for _ in scripts.run_in_turn(_closing(waiting, batch, tombstone_ms)):
        reached("finalised")
    for one in waiting:
        for ids in _batches(one.orphans, batch):
            scripts.run(orphan_call(one.keys, ids))
            reached("orphans given up")
    return sum(len(one.due) + len(one.orphans) + len(one.strangers) for one in waiting)


def _closing(waiting: Sequence[Waiting], batch: int, tombstone_ms: int) -> Iterator[Sequence[Call]]:
    """The calls that finalise, some at once."""
    for one in waiting:
        batches = _batches(_side_by_side(one.due, batch), batch)
        for some in _batches(batches, _CALLS_AT_ONCE):
            yield [finalise_call(one.keys, ids, tombstone_ms=tombstone_ms) for ids in some]


def _side_by_side(ids: Sequence[str], batch: int) -> Sequence[str]:
    """Where they fill several calls, those whose tombstones lie in one set are closed by one of them."""
    return ids if len(ids) <= batch else sorted(ids, key=lambda one: tombstone(one)[0])


def read_chunks(
    read: Read,
    application: Application,
    positions: Sequence[str],
    most: int,
    only: int | None = None,
) -> list[Chunk]:
    """What was finalised after ``positions``: a chunk a partition that has any, at most ``most`` entries.

    Args:
        read: reads streams.
        application: whose partitions.
        positions: of each.
        most: entries of a chunk.
        only: the one partition to read; None: all.
    """
    numbers = range(application.partitions) if only is None else [only]
    partitions = [Keys(application.name, p) for p in numbers]
    found = read([examples_after(keys, positions) for keys in partitions], most)
    return [
        _chunk(keys, entries, application.reward)
        for keys, entries in zip(partitions, found, strict=True)
        if entries
    ]


def examples_after(keys: Keys, positions: Sequence[str]) -> Wanted:
    """What comes in a partition's example stream after its position among those of all."""
    return Wanted(keys.examples, positions[keys.partition])


def lessons_of(keys: Keys, entries: Sequence[Entry], reward: RewardConfig) -> list[Lesson]:
    """Entries that were read before, without a word on those that cannot be decoded."""
    read = (_lessons(keys, entry, reward) for entry in entries)
    return [lesson for lessons in read if isinstance(lessons, list) for lesson in lessons]


def lessons_in(partition: int, entry: Entry, reward: RewardConfig) -> list[Lesson]:
    """What an entry of the example stream teaches, slot by slot.

    Raises:
        BadEvent, BadId: it is none.
    """
    joined = decode_example(partition, *entry, decode_logged)
    if not joined.decision.slots:
        return [Lesson(entry, joined, teaching_of(joined, reward))]
    return [Lesson(entry, part, teaching_of(part, reward)) for part in slots_of(joined)]


def _chunk(keys: Keys, entries: Sequence[Entry], reward: RewardConfig) -> Chunk:
    chunk = Chunk(keys.partition, entries[0][0], entries[-1][0], [], [])
    for entry in entries:
        lessons = _lessons(keys, entry, reward)
        if isinstance(lessons, list):
            chunk.lessons.extend(lessons)
        else:
            chunk.undecoded.append((entry, str(lessons)))
    return chunk


def _lessons(keys: Keys, entry: Entry, reward: RewardConfig) -> list[Lesson] | BadEvent:
    try:
        return lessons_in(keys.partition, entry, reward)
    except (BadEvent, BadId) as error:
        return BadEvent(str(error))


def _batches(ids: Sequence[Part], size: int) -> list[Sequence[Part]]:
    return [ids[start : start + size] for start in range(0, len(ids), size)]
