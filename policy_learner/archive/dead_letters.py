"""Entries that could not be decoded or learnt: kept with their reason, so that the learner can go on."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import cast

import redis

from policy_learner.join.positions import START
from policy_learner.join.source import Lesson
from policy_learner.join.streams import Entry, Wanted, read_all_after
from policy_learner.learning.teaching import ASSUMED, CLOSING, EARLIEST, Effect, Teaching
from sidecar.contracts.events import JoinedDecision
from sidecar.contracts.keys import Keys
from sidecar.contracts.scripts.call import text

MOST_KEPT = 10_000
"""Per partition, about: a flood of poison must not fill the store. What can be decoded has its row anyway."""

log = logging.getLogger("sidearm.learner")


_BEGINNINGS = (ASSUMED.encode(), EARLIEST.encode())
"""Kinds by which a decision is learnt before its row is written."""


_SLOTS = b"slots"
"""Of an entry, some of whose slots were refused: their numbers. Without it, all of it was."""
_Slots = frozenset[int] | None


def refused_entries(lessons: Sequence[Lesson], refused: Iterable[tuple[int, str]]) -> list[tuple[Entry, str]]:
    """The entries of lessons that were refused, each once, with the reason of its first refused slot.

    Args:
        lessons: of a stretch.
        refused: place among them, and why.
    """
    found: dict[str, tuple[Entry, str]] = {}
    slots: dict[str, list[int]] = {}
    for place, reason in refused:
        entry, joined, _ = lessons[place]
        found.setdefault(entry[0], (entry, reason))
        slots.setdefault(entry[0], []).append(joined.slot)
    if not found:
        return []
    several = {one.entry[0] for one in lessons if one.joined.slot or one.joined.decision.slots}
    return [
        (_of_slots(entry, slots[position]) if position in several else entry, reason)
        for position, (entry, reason) in found.items()
    ]


def _of_slots(entry: Entry, slots: Sequence[int]) -> Entry:
    position, fields = entry
    return position, {**fields, _SLOTS: ",".join(map(str, slots)).encode()}


def _slots_of(fields: Mapping[bytes, bytes]) -> _Slots:
    numbers = [n for n in fields.get(_SLOTS, b"").split(b",") if n.isdigit()]
    return frozenset(map(int, numbers)) or None


class _Letters:
    """What is known of the entries that were refused."""

    def __init__(self) -> None:
        self._positions: dict[tuple[int, str], _Slots] = {}
        self._decisions: dict[bytes, _Slots] = {}

    def holds(self, partition: int, position: str) -> bool:
        """Whether an entry of the example stream was refused."""
        return (partition, position) in self._positions

    def refuses(self, joined: JoinedDecision) -> bool:
        """Whether an entry was refused; of a decision's row, whether that was from which it was learnt."""
        if self.holds(joined.partition, joined.position):
            slots = self._positions.get((joined.partition, joined.position))
            return slots is None or joined.slot in slots
        if joined.kind not in CLOSING or not self._decisions:
            return False
        slots = self._decisions.get(joined.decision.decision_id.encode(), frozenset())
        return slots is None or joined.slot in slots

    def still_taught(self, lessons: Sequence[Lesson]) -> list[Teaching]:
        """What entries teach, but for those that were refused: what killed VW once is not tried again."""
        if not self._positions:
            return [lesson.taught for lesson in lessons]
        return [
            lesson.taught._replace(effect=Effect.NONE) if self.refuses(lesson.joined) else lesson.taught
            for lesson in lessons
        ]

    def _know(self, partition: int, entry: Entry) -> None:
        position, fields = entry
        self._positions[partition, position] = _slots_of(fields)
        if fields.get(b"k") in _BEGINNINGS:
            self._decisions[fields.get(b"i", b"")] = _slots_of(fields)


class DeadLetters(_Letters):
    """The dead-letter streams of one application, and what lies in them.

    Args:
        client: of the store.
        partitions: all of them.
    """

    def __init__(self, client: redis.Redis, partitions: Sequence[Keys]) -> None:
        super().__init__()
        self._client = client
        self._waiting: deque[tuple[Keys, Entry]] = deque(maxlen=MOST_KEPT)
        for keys in partitions:
            for entry in _entries(client, keys):
                self._know(keys.partition, entry)

    @property
    def waiting(self) -> list[tuple[int, str]]:
        """Partition and position of what could not be put here yet."""
        return [(keys.partition, position) for keys, (position, _) in self._waiting]

    def bury(self, keys: Keys, entry: Entry, reason: str) -> None:
        """Put an entry of the example stream here, under its own position; doing so again changes nothing.

        At the store's memory limit it waits here: whoever makes room there must not be held up.
        """
        position, fields = entry
        if self.holds(keys.partition, position):
            return
        log.error("entry %s of partition %d is not learnt: %s", position, keys.partition, reason)
        kept = {**fields, b"reason": reason.encode()}
        if self._waiting or not self._add(keys, (position, kept)):
            self._waiting.append((keys, (position, kept)))
        self._know(keys.partition, entry)

    def catch_up(self) -> None:
        """Put here what had to wait."""
        while self._waiting and self._add(*self._waiting[0]):
            self._waiting.popleft()

    def _add(self, keys: Keys, entry: Entry) -> bool:
        """False: the store is at its memory limit."""
        position, kept = entry
        try:
            self._client.xadd(keys.dead, kept, id=position, maxlen=MOST_KEPT, approximate=True)  # type: ignore[arg-type]
        except redis.OutOfMemoryError:
            return False
        except redis.ResponseError as error:
            if "equal or smaller" not in str(error):  # else it was here, and was pushed out by later ones
                raise
        return True


class LettersOfOthers(_Letters):
    """The dead-letter streams as somebody sees them who only reads: the archiver in its own process.

    Args:
        client: of the store.
        partitions: all of them.
    """

    def __init__(self, client: redis.Redis, partitions: Sequence[Keys]) -> None:
        super().__init__()
        self._client = client
        self._read_to = dict.fromkeys(partitions, START)
        self._waiting: frozenset[tuple[int, str]] = frozenset()

    def look(self, waiting: frozenset[tuple[int, str]]) -> None:
        """See what came since; ``waiting``: what could not be put there yet."""
        self._waiting = waiting
        wanted = [Wanted(keys.dead, after) for keys, after in self._read_to.items()]
        for keys, entries in zip(
            list(self._read_to), read_all_after(self._client, wanted, MOST_KEPT), strict=True
        ):
            for entry in entries:
                self._know(keys.partition, entry)
            self._read_to[keys] = entries[-1][0] if entries else self._read_to[keys]

    def holds(self, partition: int, position: str) -> bool:
        """Whether the learner refused an entry of the example stream."""
        return super().holds(partition, position) or (partition, position) in self._waiting


def _entries(client: redis.Redis, keys: Keys) -> list[Entry]:
    entries = cast("list[tuple[bytes, dict[bytes, bytes]]]", client.xrange(keys.dead))
    return [(text(position), fields) for position, fields in entries]
