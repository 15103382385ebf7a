"""What the learner has just read, for the archive, which is next: neither fetched nor decoded twice.

Only the archive that is where the learner was is served from here. One that is behind reads the store.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from typing import NamedTuple

from policy_learner.join.source import Chunk
from policy_learner.join.streams import Entry, Wanted
from sidecar.contracts.events import JoinedDecision, decode_logged
from sidecar.contracts.scripts.finalise import decode_example
from sidecar.contracts.slots import slots_of


class _Stretch(NamedTuple):
    after: str
    last: str
    entries: list[Entry]
    joined: dict[str, tuple[JoinedDecision, ...]]
    """By position, slot by slot."""


_STRETCHES = 3


class JustRead:
    """The latest stretches of each partition: one handed over, one that is being learnt, one that was."""

    def __init__(self) -> None:
        self._latest: defaultdict[int, deque[_Stretch]] = defaultdict(lambda: deque(maxlen=_STRETCHES))

    def keep(self, chunks: Sequence[Chunk], positions: Sequence[str]) -> None:
        """Keep what was read; ``positions``: where the reader was before it."""
        for chunk in chunks:
            if chunk.undecoded:  # rare, and their place among the others is not known here
                continue
            entries: dict[str, Entry] = {}
            joined: dict[str, tuple[JoinedDecision, ...]] = {}
            for entry, one, _ in chunk.lessons:
                entries[entry[0]] = entry
                joined[entry[0]] = (*joined.get(entry[0], ()), one)
            stretch = _Stretch(positions[chunk.partition], chunk.last, list(entries.values()), joined)
            self._latest[chunk.partition].append(stretch)

    def entries(self, partition: int, wanted: Wanted) -> list[Entry] | None:
        """A stretch, if it is exactly one of those."""
        for held in self._latest[partition]:
            if (held.after, held.last) == (wanted.after, wanted.until):
                return held.entries
        return None

    def joined(self, partition: int, entry: Entry) -> tuple[JoinedDecision, ...]:
        """An entry, decoded, slot by slot.

        Raises:
            BadEvent: it is none.
        """
        for held in self._latest[partition]:
            if entry[0] in held.joined:
                return held.joined[entry[0]]
        return slots_of(decode_example(partition, *entry, decode_logged))
