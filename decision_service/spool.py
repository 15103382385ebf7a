"""What the store is to hear of when it is back: in memory, and in a file that survives this process.

Bounded: decisions may fill nine tenths, since a reward that is lost is lost for good, while a decision can be
answered and not logged. What comes together shares one write and one fsync. What the store has heard of is
taken out; that it may hear of something twice is no harm, since its scripts know what they have seen.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec
from msgspec import Struct

from decision_service.batcher import Batcher
from decision_service.errors import SpoolFailed
from decision_service.remembered import KEPT, KEY, Name, names_of
from decision_service.spool_files import Orphan, SpoolFolder, keep_refused, next_orphan
from sidecar.contracts.errors import BadEvent
from sidecar.contracts.events import DecisionEvent, decode_decision
from sidecar.contracts.spooled import Spooled, encode_spooled, spooled_in

_ORPHANS = 0
"""Stands for the segments of a process that is gone."""
_SEGMENT_BYTES = 1024 * 1024
_BATCH = 1024
_DECISIONS_MAY_FILL = 0.9
_FRAME_BYTES = 64
"""What a record takes beside its body, at most."""

T = TypeVar("T")


class New(NamedTuple):
    """A record to be kept."""

    record: Spooled
    event: DecisionEvent | None


class Held(Struct, frozen=True):
    """A record that waits."""

    record: Spooled
    size: int
    segment: int
    """Number of the segment that it lies in."""
    event: DecisionEvent | None
    """Of a decision."""
    session: str
    """Of a reward for whatever its session was shown last."""


class Spool:
    """Belongs to one event loop; files are touched by a thread of its own only.

    Args:
        root: folder below which each process has one.
        limit_bytes: most bytes that may wait.
        timeout_s: longest wait for the disk.
        now_ms: wall clock.
    """

    def __init__(self, root: Path, limit_bytes: int, timeout_s: float, now_ms: Callable[[], int]) -> None:
        self._root, self._limit_bytes, self._timeout_s = root, limit_bytes, timeout_s
        self.now_ms = now_ms
        self._folder = SpoolFolder(root)
        self._orphans: list[Orphan] = []
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="spool")
        self._writes: Batcher[New, None] = Batcher(self._write, max_batch=_BATCH)
        self._held: dict[int, Held] = {}
        self._in_segment: Counter[int] = Counter()
        self._by_id: dict[str, int] = {}
        self._by_name: dict[Name, int] = {}
        self._of_session: Counter[str] = Counter()
        """Decisions that wait, and rewards for the last of a session's."""
        self._next = self._segment = 1
        self._segment_bytes = 0
        self._coming_bytes = 0
        """Of what is being written."""
        self.bytes = 0
        """Of all that waits."""
        self.filled = asyncio.Event()
        """Set while something waits."""

    def __len__(self) -> int:
        return len(self._held)

    async def add(self, record: Spooled, event: DecisionEvent | None = None) -> None:
        """Keep ``record`` until the store has heard of it; on the disk when this returns.

        Args:
            record: what is to be sent.
            event: the decision in it, if it is one.

        Raises:
            SpoolFailed: it is full, or the disk cannot.
        """
        share = _DECISIONS_MAY_FILL if record.kind == "decision" else 1.0
        size = len(record.body) + _FRAME_BYTES
        if self.bytes + self._coming_bytes + size > self._limit_bytes * share:
            raise SpoolFailed("the spool is full")
        self._coming_bytes += size
        try:
            await self._writes.ask(New(record, event), self._timeout_s)
        except (OSError, TimeoutError) as error:
            raise SpoolFailed(f"the spool cannot be written: {error or 'its disk is too slow'}") from error
        finally:
            self._coming_bytes -= size

    def held(self, ticket: int) -> Held:
        """The record of a ticket."""
        return self._held[ticket]

    def first(self, most: int) -> dict[int, Held]:
        """The oldest records by their tickets, and at most so many."""
        return {ticket: self._held[ticket] for ticket, _ in zip(self._held, range(most), strict=False)}

    def settle(self, tickets: Iterable[int]) -> None:
        """The store has heard of these."""
        for ticket in tickets:
            if held := self._held.pop(ticket, None):
                self._drop(held)
                self._count(held, -1)
                if held.event is not None:
                    self._by_id.pop(held.event.decision_id, None)
                    for name in names_of(held.event, held.record.kept_as):
                        if self._by_name.get(name) == ticket:
                            del self._by_name[name]
        if not self._held:
            self.filled.clear()

    def _count(self, held: Held, by: int) -> None:
        session_id = held.event.session_id if held.event else held.session
        if session_id:
            self._of_session[session_id] += by
            if not self._of_session[session_id]:
                del self._of_session[session_id]

    def settle_decisions(self, decision_ids: Iterable[str]) -> None:
        """The store has heard of these decisions after all."""
        if self._by_id:
            self.settle([ticket for i in decision_ids if (ticket := self._by_id.get(i)) is not None])

    def decision(self, decision_id: str) -> Held | None:
        """A decision that waits, by our id."""
        ticket = self._by_id.get(decision_id)
        return None if ticket is None else self._held[ticket]

    def precedes(self, decision_id: str, session_id: str) -> bool:
        """Whether that decision waits, or something of that session: what comes now must come after it."""
        return decision_id in self._by_id or session_id in self._of_session

    def decision_of_key(self, session_id: str, client_key: str) -> Held | None:
        """A decision that waits, by the client's own key in its session."""
        ticket = self._by_name.get((session_id, KEY + client_key)) if client_key else None
        return None if ticket is None else self._held[ticket]

    def decision_kept(self, session_id: str, kept_as: str) -> Held | None:
        """A decision that waits, by what its session asked for; the last of several."""
        ticket = self._by_name.get((session_id, KEPT + kept_as)) if kept_as else None
        return None if ticket is None else self._held[ticket]

    async def refuse(self, tickets: Sequence[int]) -> None:
        """These will never be sent: keep them aside for a person to look at.

        Raises:
            SpoolFailed: the disk cannot.
        """
        content = b"".join(encode_spooled(self._held[t].record) for t in tickets if t in self._held)
        try:
            await self._on_disk(keep_refused, self._root, content)
        except OSError as error:
            raise SpoolFailed(f"refused records cannot be kept: {error}") from error
        self.settle(tickets)

    async def adopt(self) -> int:
        """Take over what processes left that are gone; how many records that were.

        Of what was taken over before all must be settled first.

        Raises:
            SpoolFailed: the disk cannot.
        """
        if self._orphans:
            return 0
        try:
            found = await self._left()
            strange = b"".join(one for one in found if isinstance(one, bytes))
            if strange:
                await self._on_disk(keep_refused, self._root, strange)
        except OSError as error:
            await self._let_go()
            raise SpoolFailed(f"what a process left cannot be read: {error}") from error
        records = [record for record in found if isinstance(record, Spooled)]
        for record in sorted(records, key=lambda one: one.at_ms):
            self._hold(self._taken(record, _event_of(record), _ORPHANS))
        if not records:
            self._forget_segment(_ORPHANS)
        return len(found)

    async def _left(self) -> list[Spooled | bytes]:
        """What lies in the folders of the dead, until it is as much as may wait."""
        found: list[Spooled | bytes] = []
        size = self.bytes
        while size < self._limit_bytes and (orphan := await self._on_disk(next_orphan, self._root)):
            self._orphans.append(orphan)
            found += await self._on_disk(_records_of, orphan)
            size = self.bytes + sum(len(one.body) for one in found if isinstance(one, Spooled))
        return found

    async def close(self) -> None:
        """Let go of the files. What waits stays in them, for whoever starts next."""
        await self._let_go()
        await self._on_disk(self._folder.close)
        self._disk.shutdown()

    async def _let_go(self) -> None:
        """What others left is anybody's again."""
        while self._orphans:
            await self._on_disk(self._orphans.pop().close)

    async def _write(self, batch: Sequence[New]) -> list[None]:
        """All in one write; a segment that fails is not used again."""
        if self._segment_bytes > _SEGMENT_BYTES:
            self._next_segment()
        number = self._segment
        content = b"".join(encode_spooled(new.record) for new in batch)
        taken = [self._taken(new.record, new.event, number) for new in batch]
        self._segment_bytes += len(content)
        try:
            await self._on_disk(self._folder.append, number, content)
        except OSError:
            for held in taken:
                self._drop(held)
            raise
        for held in taken:
            self._hold(held)
        return [None] * len(batch)

    def _taken(self, record: Spooled, event: DecisionEvent | None, segment: int) -> Held:
        """Counted from now on."""
        held = Held(record, len(record.body) + _FRAME_BYTES, segment, event, _session_of(record))
        self.bytes += held.size
        self._in_segment[segment] += 1
        return held

    def _hold(self, held: Held) -> None:
        ticket, self._next = self._next, self._next + 1
        self._held[ticket] = held
        self._count(held, 1)
        if held.event is not None:
            self._by_id[held.event.decision_id] = ticket
            self._by_name.update(dict.fromkeys(names_of(held.event, held.record.kept_as), ticket))
        self.filled.set()

    def _drop(self, held: Held) -> None:
        self.bytes -= held.size
        self._in_segment[held.segment] -= 1
        if not self._in_segment[held.segment]:
            self._forget_segment(held.segment)

    def _forget_segment(self, number: int) -> None:
        """None of its records is needed any more."""
        self._in_segment.pop(number, None)
        if number == self._segment:
            self._next_segment()
        if number != _ORPHANS:
            self._disk.submit(self._folder.remove, number)
            return
        while self._orphans:
            self._disk.submit(self._orphans.pop().remove)

    def _next_segment(self) -> None:
        self._segment += 1
        self._segment_bytes = 0

    async def _on_disk(self, work: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._disk, work, *arguments)


def _records_of(orphan: Orphan) -> list[Spooled | bytes]:
    return [record for content in orphan.segments() for record in spooled_in(content)]


def _event_of(record: Spooled) -> DecisionEvent | None:
    """None for what is no decision, or none that can be read: then sending it will tell."""
    try:
        return decode_decision(record.body) if record.kind == "decision" else None
    except BadEvent:
        return None


class _Named(Struct, frozen=True):
    session_id: str | None = None
    decision_id: str | None = None


_named = msgspec.json.Decoder(_Named)


def _session_of(record: Spooled) -> str:
    if record.kind != "reward":
        return ""
    try:
        named = _named.decode(record.body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return ""
    return "" if named.decision_id else named.session_id or ""
