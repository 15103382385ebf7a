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
    """

    def __init__(self, store: Redis, app: str) -> None:
        self._store = store
        self._app = app
        self._held: dict[bytes, Weights] = {}
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
        self._refused &= set(wanted)
        fresh = {version: weights for version, weights in self._held.items() if version in wanted}
        for version in sorted(set(wanted) - self._held.keys() - self._refused):
            weights = await self._load(version)
            if weights is not None:
                fresh[version] = weights
        if fresh.keys() != self._held.keys():
            self.panels = await asyncio.to_thread(panels_of, fresh.values())
            self._held = fresh
            log.info("deployed versions: %s", ", ".join(v.decode() for v in fresh) or "none")

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
