"""The event log: a decision is durable before anybody hears of it.

Decisions of one partition that come together share one script call, one round trip and one fsync. The script
recognises what it has seen, so a call whose reply was lost is sent once more. While the store does not answer
in time, the decision goes to the spool beside the service, and from there to the store (``draining.py``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from itertools import chain, islice
from typing import NamedTuple, TypeVar

import msgspec
from redis.exceptions import ConnectionError as StoreConnectionError
from redis.exceptions import OutOfMemoryError
from redis.exceptions import TimeoutError as StoreTimeoutError

from decision_service.batcher import Batcher
from decision_service.beside import Beside
from decision_service.breaker import Guard
from decision_service.errors import StoreAway
from decision_service.side_by_side import all_of
from decision_service.spool import Spool
from sidecar.contracts import journal
from sidecar.contracts.application import Application
from sidecar.contracts.events import DecisionEvent
from sidecar.contracts.ids import partition_of_session
from sidecar.contracts.keys import Keys
from sidecar.contracts.reward_section import RewardMode
from sidecar.contracts.scripts.decide import Decided, DecideEntry, DecideStatus, entry_of
from sidecar.contracts.store import AsyncScripts, StoreError

T = TypeVar("T")


_IN_FLIGHT = 2
"""Calls at once: while the disk takes one, another one is on its way, and the next flush is of both."""
Lot = Sequence[tuple[int, DecideEntry]]
"""Decisions that are logged together, each with its partition."""


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
        self._scripts = scripts
        self._guard = guard
        self._spool = spool
        self._keys = [Keys(application.name, partition) for partition in range(application.partitions)]
        self._max_pending = application.model.max_pending
        self._tombstone_ms = round(application.reward.tombstone_s * 1000)
        self._mode = application.reward.mode
        self._by_arm = application.reward.attribution == "arm"
        self._sticky_ms = round(application.sessions.sticky_s * 1000)
        self._beside = Beside(spool, self._mode, self._sticky_ms)
        self._batcher: Batcher[Lot, list[Decided]] = Batcher(
            self._log_all, max_batch=max_batch, in_flight=_IN_FLIGHT, size=len
        )

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
        found = list(await self._told(asked, left_s))
        left = [place for place, decided in enumerate(found) if decided is None]
        beside = await all_of([self._beside.append(*asked[place]) for place in left]) if left else ()
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
            told = await self._batcher.ask(lot, left_s)
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
        return (await self._log_all([[(partition, entry) for entry in entries]]))[0]

    async def _log_all(self, lots: Sequence[Lot]) -> list[list[Decided]]:
        """One script call for each partition, all of them in one round trip."""
        asked = list(chain.from_iterable(lots))
        places: defaultdict[int, list[int]] = defaultdict(list)
        for place, (partition, _) in enumerate(asked):
            places[partition].append(place)
        by_partition = [
            (self._keys[partition], [asked[place][1] for place in of]) for partition, of in places.items()
        ]
        told = await patiently(partial(self._decide, by_partition))
        answers = dict(zip(chain.from_iterable(places.values()), chain.from_iterable(told), strict=True))
        self._spool.settle_decisions(one.decision_id for one in answers.values() if one.status in _HEARD)
        in_order = iter([answers[place] for place in range(len(asked))])
        return [list(islice(in_order, len(lot))) for lot in lots]

    async def _decide(self, by_partition: list[tuple[Keys, list[DecideEntry]]]) -> list[list[Decided]]:
        """A store at its memory limit refuses all of a partition: its decisions are shed, not failed."""
        limits = {"max_pending": self._max_pending, "tombstone_ms": self._tombstone_ms}
        told = await journal.decide_all(self._scripts, by_partition, **limits)
        decided: list[list[Decided]] = []
        for (_, entries), answers in zip(by_partition, told, strict=True):
            if isinstance(answers, OutOfMemoryError):
                answers = [Decided(DecideStatus.FULL, entry.decision_id) for entry in entries]
            if isinstance(answers, StoreError):
                raise answers
            decided.append(answers)
        return decided


_HEARD = frozenset({DecideStatus.OK, DecideStatus.DUP, DecideStatus.FIN})


async def patiently(talk: Callable[[], Awaitable[T]]) -> T:
    """``talk``, once more if the connection failed: for what may be repeated, as every script may.

    Raises:
        StoreAway: the store did not answer, or refused.
    """
    try:
        try:
            return await talk()
        except (StoreConnectionError, StoreTimeoutError):
            return await talk()
    except (StoreError, OSError) as error:
        raise StoreAway(f"{type(error).__name__}: nothing was recorded for certain; try again") from error
