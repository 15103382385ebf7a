"""Catalogues in the store: ours is published at boot, older ones are read when a stored decision asks."""

from __future__ import annotations

import msgspec

from decision_service.event_log import patiently
from sidecar.contracts import keys
from sidecar.contracts.catalogue import Catalogue, decode_arms, encode_arms
from sidecar.contracts.errors import BadEvent
from sidecar.contracts.events import DecisionEvent
from sidecar.contracts.store import AsyncScripts

_KEPT = 16


class Catalogues:
    """Catalogues of one application by version."""

    def __init__(self, scripts: AsyncScripts, app: str, current: Catalogue) -> None:
        self._scripts = scripts
        self._key = keys.catalogues(app)
        self.current = current
        self._known = {current.version: current}

    async def publish(self) -> None:
        """Make the current one known to learner and replay; the version is a digest, so none is replaced.

        Raises:
            StoreAway: the store did not answer.
        """
        arms = encode_arms(self.current.arms)
        await patiently(lambda: self._scripts.client.hsetnx(self._key, self.current.version, arms))

    async def of(self, version: str) -> Catalogue | None:
        """The catalogue of that version; None if nobody published it, or foreign bytes lie there.

        Raises:
            StoreAway: the store did not answer.
        """
        if version not in self._known:
            stored = await patiently(lambda: self._scripts.client.hget(self._key, version))
            if not isinstance(stored, bytes):
                return None
            while len(self._known) >= _KEPT:
                self._known.pop(next(v for v in self._known if v != self.current.version))
            try:
                self._known[version] = Catalogue(version, decode_arms(stored))
            except (msgspec.MsgspecError, UnicodeDecodeError):
                return None
        return self._known[version]

    async def eligible_ids(self, event: DecisionEvent) -> tuple[str, ...]:
        """The arms that were eligible for a stored decision, in the order of its scores.

        Raises:
            StoreAway: the store did not answer.
            BadEvent: its catalogue is not known any more.
        """
        if event.arms:
            return event.arms
        catalogue = await self.of(event.catalogue)
        if catalogue is None:
            raise BadEvent(f"{event.decision_id} was made with catalogue {event.catalogue}, which is gone")
        return tuple(arm.id for arm in catalogue.arms)
