"""What the learner has just read, for the archive, which is next: neither fetched nor decoded twice.

Only the archive that is where the learner was is served from here. One that is behind reads the store.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from policy_learner.source import Chunk
from policy_learner.streams import Entry, Wanted
from sidecar.contracts.events import JoinedDecision
from sidecar.contracts.scripts.finalise import decode_example


class _Stretch(NamedTuple):
    after: str
    last: str
    entries: list[Entry]
    joined: dict[str, JoinedDecision]
    """By position."""


class JustRead:
    """The latest stretch of each partition's example stream."""

    def __init__(self) -> None:
        self._latest: dict[int, _Stretch] = {}

    def keep(self, chunks: Sequence[Chunk], positions: Sequence[str]) -> None:
        """Keep what was read; ``positions``: where the reader was before it."""
        for chunk in chunks:
            if chunk.undecoded:  # rare, and their place among the others is not known here
                self._latest.pop(chunk.partition, None)
                continue
            entries = [lesson.entry for lesson in chunk.lessons]
            joined = {lesson.joined.position: lesson.joined for lesson in chunk.lessons}
            self._latest[chunk.partition] = _Stretch(positions[chunk.partition], chunk.last, entries, joined)

    def entries(self, partition: int, wanted: Wanted) -> list[Entry] | None:
        """A stretch, if it is exactly what was just read."""
        held = self._latest.get(partition)
        return held.entries if held and (held.after, held.last) == (wanted.after, wanted.until) else None

    def joined(self, partition: int, entry: Entry) -> JoinedDecision:
        """An entry, decoded.

        Raises:
            BadEvent: it is none.
        """
        held = self._latest.get(partition)
        known = held.joined.get(entry[0]) if held else None
        return known or decode_example(partition, *entry)
