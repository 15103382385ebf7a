"""The event log: a decision is durable before anybody hears of it.

Decisions of one partition that come together share one script call, one round trip and one fsync. The script
recognises what it has seen, so a call whose reply was lost is sent once more. While the store does not answer
in time, the decision goes to the spool beside the service, and from there to the store (``draining.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

import msgspec

from decision_service.batcher import within
from decision_service.beside import Beside
from decision_service.breaker import Guard
from decision_service.errors import StoreAway
from decision_service.log_calls import Limits, LogCalls, Lot
from decision_service.log_calls import patiently as patiently  # where others look for it
from decision_service.side_by_side import all_of
from decision_service.spool import Spool
from sidecar.contracts.application import Application
from sidecar.contracts.events import DecisionEvent
from sidecar.contracts.ids import partition_of_session
from sidecar.contracts.keys import Keys
from sidecar.contracts.reward_section import RewardMode
from sidecar.contracts.scripts.decide import Decided, DecideEntry, entry_of
from sidecar.contracts.store import AsyncScripts


class ToLog(NamedTuple):
    """One decision to be logged."""

    event: DecisionEvent
    logged: bool = True
    """False: only look whether its key was used before."""
    kept_as: str = ""
    """What the session asked for, if sessions keep what they were given."""


class EventLog:
    """Logs decisions of one application; belongs to one event loop.

    Args:
        scripts: on the store.
        application: how many partitions, how long decisions are remembered, how many may be pending, and in
            which mode they are joined.
        max_batch: most decisions in one script call.
        guard: whether the store is to be asked.
        spool: takes what the store does not.
    """

    def __init__(
        self, scripts: AsyncScripts, application: Application, max_batch: int, guard: Guard, spool: Spool
    ) -> None:
        self._guard = guard
        self._spool = spool
        self._keys = [Keys(application.name, partition) for partition in range(application.partitions)]
        self._mode = application.reward.mode
        self._by_arm = application.reward.attribution == "arm"
        self._sticky_ms = round(application.sessions.sticky_s * 1000)
        self._beside = Beside(spool, self._mode, self._sticky_ms)
        limits = Limits(application.model.max_pending, round(application.reward.tombstone_s * 1000))
        self._calls = LogCalls(scripts, self._keys, limits, max_batch, spool)

    async def append(
        self, event: DecisionEvent, logged: bool = True, left_s: float | None = None, kept_as: str = ""
    ) -> Decided:
        """Log one."""
        return (await self.append_all([ToLog(event, logged, kept_as)], left_s))[0]

    async def append_all(self, asked: Sequence[ToLog], left_s: float | None = None) -> Sequence[Decided]:
        """Log events; where a key was used before, the decision that stands.

        Args:
            asked: the decisions.
            left_s: how long the store is waited for, in seconds, before the spool takes them; None: as long
                as its connection does.
        """
        told = await self._told(asked, left_s)
        if all(told):
            return cast("Sequence[Decided]", told)
        found = list(told)
        left = [place for place, decided in enumerate(found) if decided is None]
        beside = await all_of([self._beside.append(*asked[place]) for place in left])
        for place, decided in zip(left, beside, strict=True):
            found[place] = decided
        return [decided for decided in found if decided is not None]

    async def _told(self, asked: Sequence[ToLog], left_s: float | None) -> Sequence[Decided | None]:
        """What spool or store say of each; None of those that neither says anything of."""
        if not len(self._spool):
            return await self._stored(asked, left_s) if asked and self._guard.closed else [None] * len(asked)
        found: list[Decided | None] = [self._beside.standing(one.event, one.kept_as) for one in asked]
        new = [place for place, standing in enumerate(found) if standing is None]
        if self._guard.closed:
            for_store = [p for p in new if not self._spool.precedes("", asked[p].event.session_id)]
            stored = await self._stored([asked[place] for place in for_store], left_s) if for_store else ()
            for place, decided in zip(for_store, stored, strict=True):
                found[place] = decided
        return found

    def entries(
        self, event: DecisionEvent, mode: RewardMode, kept_as: str
    ) -> tuple[DecideEntry, DecideEntry]:
        """A spooled decision as the store is to be told of it: under its names, and by its id alone."""
        alone = msgspec.structs.replace(entry_of(event, mode, by_arm=self._by_arm), client_key="", digest="")
        named = msgspec.structs.replace(alone, client_key=event.client_key, digest=event.digest)
        return self._sticky(named, kept_as), alone

    def note_sent(self, event: DecisionEvent, kept_as: str, decided: Decided, payload: bytes) -> None:
        """A spooled decision left the spool: what stands is given again, if the store goes away."""
        self._beside.remembered.note(event, kept_as, decided, payload)

    def _sticky(self, entry: DecideEntry, kept_as: str) -> DecideEntry:
        if not (self._sticky_ms and kept_as):
            return entry
        return msgspec.structs.replace(entry, sticky=kept_as, sticky_ms=self._sticky_ms)

    async def _stored(self, asked: Sequence[ToLog], left_s: float | None) -> Sequence[Decided | None]:
        """What the store says of each; None of all where it says nothing in time."""
        lot = self._lot(asked)
        try:
            told = await (self._calls.put(lot) if left_s is None else within(self._calls.put(lot), left_s))
        except (StoreAway, TimeoutError):
            self._guard.bad(len(asked))
            return [None] * len(asked)
        self._guard.good(len(asked))
        for (event, _, kept_as), decided, (_, entry) in zip(asked, told, lot, strict=True):
            if event.client_key or kept_as:  # by what it may be asked for again
                self._beside.remembered.note(event, kept_as, decided, entry.payload)
        return told

    def _lot(self, asked: Sequence[ToLog]) -> Lot:
        """As entries, each with the partition of its session."""
        partitions, mode, by_arm = len(self._keys), self._mode, self._by_arm
        lot = [
            (partition_of_session(event.session_id, partitions), entry_of(event, mode, logged, by_arm))
            for event, logged, _ in asked
        ]
        if not self._sticky_ms:
            return lot
        return [
            (where, self._sticky(entry, one.kept_as)) for (where, entry), one in zip(lot, asked, strict=True)
        ]

    async def send(self, partition: int, entries: Sequence[DecideEntry]) -> list[Decided]:
        """Tell the store of spooled decisions of one partition.

        Raises:
            StoreAway: nothing is certain; they may be sent again.
        """
        return (await self._calls.log_all([[(partition, entry) for entry in entries]]))[0]
