"""Activation: a deferred decision was shown, and counts from now on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import msgspec

from decision_service.api.recommendations import ActivationReceipt, ActivationRequest
from decision_service.api.recommendations import ActivationStatus as PublicStatus
from decision_service.batcher import Batcher
from decision_service.breaker import Guard
from decision_service.errors import StoreAway
from decision_service.event_log import patiently
from decision_service.horizon import horizon_ms_of
from decision_service.spool import Spool
from decision_service.telemetry import Telemetry
from decision_service.times import utc
from sidecar.contracts import journal
from sidecar.contracts.application import Application
from sidecar.contracts.errors import BadId
from sidecar.contracts.ids import has_our_form, partition_of_decision
from sidecar.contracts.keys import Keys
from sidecar.contracts.scripts.activate import Activated, ActivateStatus
from sidecar.contracts.spooled import Spooled
from sidecar.contracts.store import AsyncScripts

_STATUS: Mapping[ActivateStatus, PublicStatus] = {
    ActivateStatus.OK: "activated",
    ActivateStatus.DUP: "duplicate",
    ActivateStatus.LATE: "late",
    ActivateStatus.UNKNOWN: "unknown",
}


class Activator:
    """Activates decisions of one application; belongs to one event loop.

    Those that come together share a call.

    Args:
        scripts: on the store.
        application: its partitions and its times.
        telemetry: counts what became of each.
        max_batch: most activations in one script call.
        guard: whether the store is to be asked.
        spool: takes what the store does not.
    """

    def __init__(
        self,
        scripts: AsyncScripts,
        application: Application,
        telemetry: Telemetry,
        max_batch: int,
        guard: Guard,
        spool: Spool,
    ) -> None:
        self._guard = guard
        self._spool = spool
        self._scripts = scripts
        self._application = application
        self._telemetry = telemetry
        self._tombstone_ms = round(application.reward.tombstone_s * 1000)
        self._batchers = [
            Batcher(partial(self._send, Keys(application.name, p)), max_batch=max_batch)
            for p in range(application.partitions)
        ]

    async def activate(self, decision_id: str, request: ActivationRequest) -> ActivationReceipt:
        """Let the decision of that id count.

        An id that nobody knows is no error: its decision may never have been logged.

        Raises:
            BadRequest: a horizon over the longest.
            SpoolFailed: the store is away, and it cannot be written down here either; asking again is safe.
        """
        if self._guard.closed and not self._spool.precedes(decision_id, ""):
            try:
                receipt = await self.resend(decision_id, request)
            except StoreAway:
                self._guard.bad()
            else:
                self._guard.good()
                return receipt
        self._horizon_ms(request)
        if not has_our_form(decision_id):
            return await self.resend(decision_id, request)
        body = msgspec.json.encode(request)
        await self._spool.add(Spooled("activation", self._spool.now_ms(), body, decision_id=decision_id))
        self._telemetry.activated("spooled")
        return ActivationReceipt(status="activated", decision_id=decision_id, reward_until=None, spooled=True)

    async def resend(self, decision_id: str, request: ActivationRequest) -> ActivationReceipt:
        """The same without the spool.

        Raises:
            BadRequest: a horizon over the longest.
            StoreAway: it may or may not have been activated; asking again is safe.
        """
        receipt = await self._receipt(decision_id, self._horizon_ms(request))
        self._telemetry.activated(receipt.status)
        return receipt

    def _horizon_ms(self, request: ActivationRequest) -> int | None:
        asked_s = request.horizon_s
        return None if asked_s is None else horizon_ms_of(asked_s, self._application.reward)

    async def _receipt(self, decision_id: str, horizon_ms: int | None) -> ActivationReceipt:
        try:
            partition = partition_of_decision(decision_id, self._application.partitions)
        except BadId:
            return ActivationReceipt(status="unknown", decision_id=decision_id, reward_until=None)
        done = await self._batchers[partition].ask((decision_id, horizon_ms))
        until = None if done.deadline_ms is None else utc(done.deadline_ms)
        return ActivationReceipt(status=_STATUS[done.status], decision_id=decision_id, reward_until=until)

    async def _send(self, keys: Keys, wanted: Sequence[tuple[str, int | None]]) -> list[Activated]:
        return await patiently(
            lambda: journal.activate(self._scripts, keys, wanted, tombstone_ms=self._tombstone_ms)
        )
