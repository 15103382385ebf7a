"""Rewards: from the request to the store, each with its fate. None is an error for being late or unknown."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import msgspec

from decision_service.api.rewards import RewardReceipt, RewardRequest
from decision_service.api.rewards import RewardStatus as PublicStatus
from decision_service.batcher import Batcher
from decision_service.breaker import Guard
from decision_service.errors import StoreAway
from decision_service.event_log import patiently
from decision_service.reward_drafts import NOBODY, Draft, Drafter
from decision_service.spool import Spool
from decision_service.telemetry import Telemetry
from sidecar.contracts import journal
from sidecar.contracts.application import Application
from sidecar.contracts.keys import Keys
from sidecar.contracts.scripts.reward import Rewarded, RewardEntry, RewardStatus, limits_of
from sidecar.contracts.spooled import Spooled
from sidecar.contracts.store import AsyncScripts

_STATUS: Mapping[RewardStatus, PublicStatus] = {
    RewardStatus.OK: "accepted",
    RewardStatus.DUP: "duplicate",
    RewardStatus.EARLY: "early",
    RewardStatus.LATE: "late",
    RewardStatus.OVER: "over_limit",
    RewardStatus.UNKNOWN: "unknown",
}


class Rewarder:
    """Takes rewards of one application; belongs to one event loop.

    Args:
        scripts: on the store.
        application: its table of events, its bounds, its partitions.
        telemetry: counts what became of each.
        fresh_key: makes an idempotency key for a client that gave none.
        max_batch: most rewards in one script call.
        guard: whether the store is to be asked.
        spool: takes what the store does not.
    """

    def __init__(
        self,
        scripts: AsyncScripts,
        application: Application,
        telemetry: Telemetry,
        fresh_key: Callable[[], str],
        max_batch: int,
        guard: Guard,
        spool: Spool,
    ) -> None:
        self._guard = guard
        self._spool = spool
        self._scripts = scripts
        self._application = application
        self._limits = limits_of(application.reward, application.model.max_pending)
        self._telemetry = telemetry
        self._drafter = Drafter(application, fresh_key)
        self._batchers = [
            Batcher(partial(self._send, self._keys(p)), max_batch=max_batch)
            for p in range(application.partitions)
        ]
        self._named = [
            Batcher(partial(self._find, self._keys(p)), max_batch=max_batch)
            for p in range(application.partitions)
        ]

    async def take(
        self, requests: Sequence[RewardRequest], header_key: str, place: Callable[[int], str]
    ) -> list[RewardReceipt]:
        """Take all of ``requests``, or none when one of them breaks its schema.

        Args:
            requests: in the order of the answer.
            header_key: the ``Idempotency-Key`` header, or empty; rewards without an id are numbered below it.
            place: JSON pointer of the n-th request in the body.

        Raises:
            BadRequest: naming the first field at fault of each bad one.
            StoreAway: they may or may not have been recorded; sending them again is safe.
            SpoolFailed: likewise: the store is away, and they cannot be written down here either.
        """
        drafts = self._drafter.drafts(requests, header_key, place)
        taken = (self._take(request, draft) for request, draft in zip(requests, drafts, strict=True))
        return await asyncio.gather(*taken)

    async def resend(self, request: RewardRequest) -> RewardStatus:
        """Take a reward that was spooled; its status.

        Raises:
            BadRequest: it breaks the application's bounds as they are now.
            StoreAway: it may or may not have been recorded.
        """
        rewarded = await self._place(self._drafter.draft(request, "", ""))
        if rewarded.status is RewardStatus.MOVED:
            raise StoreAway("its session keeps on deciding")
        self._telemetry.rewarded(_STATUS[rewarded.status])
        return rewarded.status

    async def _take(self, request: RewardRequest, draft: Draft) -> RewardReceipt:
        if self._guard.closed and not self._spool.precedes(draft.decision_id, draft.session_id):
            try:
                rewarded = await self._place(draft)
            except StoreAway:
                self._guard.bad()
            else:
                self._guard.good()
                return self._receipt(draft, rewarded)
        return await self._spooled(request, draft)

    async def _spooled(self, request: RewardRequest, draft: Draft) -> RewardReceipt:
        """Written down as it came, with its key: whom it is meant for is found out when the store is back."""
        body = msgspec.json.encode(msgspec.structs.replace(request, reward_id=draft.key))
        await self._spool.add(Spooled("reward", self._spool.now_ms(), body))
        self._telemetry.rewarded("spooled")
        held = self._spool.decision_of_key(draft.session_id, draft.client_key)
        decision_id = draft.decision_id or (held.event.decision_id if held and held.event else None)
        return RewardReceipt(status="accepted", decision_id=decision_id, reward_id=draft.key, spooled=True)

    async def _place(self, draft: Draft) -> Rewarded:
        decision_id, session_id = draft.decision_id, draft.session_id
        if draft.client_key:
            decision_id = await self._of_client_key(draft)
            session_id = "" if decision_id else f"{session_id}{NOBODY}{draft.client_key}"
        entry = RewardEntry(decision_id, draft.key, draft.tail, session_id, draft.rule)
        return await self._batchers[draft.partition].ask(entry)

    async def _of_client_key(self, draft: Draft) -> str:
        """Our id of the decision that the client calls by a key of its own; empty if there is none."""
        return await self._named[draft.partition].ask((draft.session_id, draft.client_key))

    async def _find(self, keys: Keys, named: Sequence[tuple[str, str]]) -> list[str]:
        return await patiently(lambda: journal.decisions_of_client_keys(self._scripts, keys, named))

    async def _send(self, keys: Keys, entries: Sequence[RewardEntry]) -> list[Rewarded]:
        return await patiently(lambda: journal.reward(self._scripts, keys, entries, self._limits))

    def _receipt(self, draft: Draft, rewarded: Rewarded) -> RewardReceipt:
        if rewarded.status is RewardStatus.MOVED:
            raise StoreAway(
                "the session kept on deciding while this reward looked for its decision; try again"
            )
        status = _STATUS[rewarded.status]
        self._telemetry.rewarded(status)
        receipt = RewardReceipt(status=status, decision_id=rewarded.decision_id or None, reward_id=draft.key)
        if rewarded.all_ids:
            return msgspec.structs.replace(receipt, decision_ids=list(rewarded.all_ids))
        return receipt

    def _keys(self, partition: int) -> Keys:
        return Keys(self._application.name, partition)
