"""The deployed versions in memory: exactly those that the roster names, but for what must not be served."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from typing import TYPE_CHECKING, cast

from sidecar.contracts import keys
from sidecar.contracts.errors import BadWeights
from sidecar.contracts.weights import Weights, decode_weights
from sidecar.policy.panel import Panel, panels_of

if TYPE_CHECKING:
    from redis.asyncio import Redis

log = logging.getLogger("sidearm.sidecar")


class Deployed:
    """Fixed versions of one application; the panels are replaced by one assignment between two batches.

    Args:
        store: a connection.
        app: the application's name.
        most_bytes: of all their weights together; a version beyond it is a model that does not answer.
    """

    def __init__(self, store: Redis, app: str, most_bytes: int) -> None:
        self._store = store
        self._app = app
        self._most_bytes = most_bytes
        self._held: dict[bytes, Weights] = {}
        """Their values are columns of the panels: nothing is held twice."""
        self._refused: set[bytes] = set()
        self.panels: tuple[Panel, ...] = ()

    @property
    def count(self) -> int:
        """How many versions are held."""
        return len(self._held)

    async def follow(self, wanted: Collection[bytes]) -> None:
        """Hold what is ``wanted``, and nothing else. A version is never another one later.

        Raises:
            StoreError: the store failed.
        """
        if not self._held.keys() <= set(wanted):
            self._refused.clear()  # there is room again, perhaps
        self._refused &= set(wanted)
        fresh = {version: weights for version, weights in self._held.items() if version in wanted}
        for version in sorted(set(wanted) - self._held.keys() - self._refused):
            weights = await self._load(version)
            if weights is not None and self._has_room(version, fresh.values(), weights):
                fresh[version] = weights
        if fresh.keys() != self._held.keys():
            self.panels = await asyncio.to_thread(panels_of, fresh.values())
            members = [one for panel in self.panels for one in panel.members]
            self._held = {b"%d" % one.header.version: one for one in members}
            log.info("deployed versions: %s", ", ".join(v.decode() for v in fresh) or "none")

    def _has_room(self, version: bytes, held: Collection[Weights], weights: Weights) -> bool:
        size = sum(one.values.nbytes for one in held) + weights.values.nbytes
        if size <= self._most_bytes:
            return True
        self._refused.add(version)
        log.warning(
            "deployed version %s refused: with it %s bytes would be held, deployed_bytes is %s",
            version.decode(errors="replace"), size, self._most_bytes,
        )  # fmt: skip
        return False

    async def _load(self, version: bytes) -> Weights | None:
        """A version, or None: one that is damaged is a model that does not answer, and harms no other."""
        record = cast("bytes | None", await self._store.hget(keys.deployed(self._app), version))
        if record is None:  # undeployed since
            return None
        try:
            weights = await asyncio.to_thread(decode_weights, record)
            if b"%d" % weights.header.version != version:
                raise BadWeights(f"what is deployed under it is version {weights.header.version}")
        except BadWeights as error:
            self._refused.add(version)
            log.warning("deployed version %s refused: %s", version.decode(errors="replace"), error)
            return None
        return weights
