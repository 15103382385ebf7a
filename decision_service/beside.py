"""Decisions while the store does not answer: the one that stands, or a new one into the spool."""

from __future__ import annotations

import asyncio

from decision_service.errors import SpoolFailed
from decision_service.remembered import Name, Remembered, names_of
from decision_service.spool import Held, Spool
from sidecar.contracts.events import DecisionEvent, encode_decision
from sidecar.contracts.reward_section import RewardMode
from sidecar.contracts.scripts.decide import Decided, DecideStatus
from sidecar.contracts.spooled import Spooled


class Beside:
    """Belongs to one event loop.

    Args:
        spool: takes what the store does not.
        mode: how decisions are joined.
        sticky_ms: how long a session keeps what it was given; 0: it does not.
    """

    def __init__(self, spool: Spool, mode: RewardMode, sticky_ms: int) -> None:
        self._spool, self._mode, self._sticky_ms = spool, mode, sticky_ms
        self.remembered = Remembered(sticky_ms, spool.now_ms)
        self._coming: dict[Name, asyncio.Future[None]] = {}
        """What is being written."""

    async def append(self, event: DecisionEvent, logged: bool, kept_as: str) -> Decided:
        """The decision that was given under the name of ``event``, or ``event``, durably written.

        Args:
            event: the decision.
            logged: False: only look for what was given.
            kept_as: what the session asked for.
        """
        name = next(iter(names_of(event, kept_as if self._sticky_ms else "")), None)
        while name and (coming := self._coming.get(name)) is not None:
            await asyncio.wait([coming])
        if (given := self.standing(event, kept_as) or self.remembered.find(event, kept_as)) is not None:
            return given
        if not logged:
            return Decided(DecideStatus.SHED, event.decision_id)
        return await self._alone(name, event, kept_as)

    def standing(self, event: DecisionEvent, kept_as: str) -> Decided | None:
        """The decision that waits in the spool under the same client's key, or that the session keeps."""
        if not len(self._spool):
            return None
        held = self._spool.decision_of_key(event.session_id, event.client_key) or self._kept(event, kept_as)
        if held is None or held.event is None:
            return None
        if held.event.digest != event.digest:
            return Decided(DecideStatus.CONFLICT, held.event.decision_id)
        deadline_ms = held.record.at_ms + held.event.horizon_ms
        given = Decided(DecideStatus.DUP, held.event.decision_id, deadline_ms, held.record.body)
        self.remembered.note(event, "", given, b"")  # when it has left the spool
        return given

    def _kept(self, event: DecisionEvent, kept_as: str) -> Held | None:
        held = self._spool.decision_kept(event.session_id, kept_as)
        if held is None or self._spool.now_ms() - held.record.at_ms >= self._sticky_ms:
            return None
        return held

    async def _alone(self, name: Name | None, event: DecisionEvent, kept_as: str) -> Decided:
        """Who asks under the same name meanwhile waits, and is given the same."""
        if name is None:
            return await self._spooled(event, kept_as)
        written = self._coming[name] = asyncio.get_running_loop().create_future()
        try:
            return await self._spooled(event, kept_as)
        finally:
            del self._coming[name]
            written.set_result(None)

    async def _spooled(self, event: DecisionEvent, kept_as: str) -> Decided:
        """By the service's clock it ends when it would; in truth later, since the store hears of it later."""
        now_ms, body = self._spool.now_ms(), encode_decision(event)
        kept = kept_as if self._sticky_ms else ""
        try:
            await self._spool.add(Spooled("decision", now_ms, body, self._mode, kept_as=kept), event)
        except SpoolFailed:
            return Decided(DecideStatus.FULL, event.decision_id)
        decided = Decided(DecideStatus.OK, event.decision_id, now_ms + event.horizon_ms)
        self.remembered.note(event, kept_as, decided, body)
        return decided
