"""The weights in memory: follow the store, refuse what must not be served, keep the last good.

A version stream tells at once (``XREAD BLOCK``), a slow poll is the net below it. The array is replaced by
one assignment between two batches, so no request is scored with half of each.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from sidecar.contracts import keys
from sidecar.contracts.errors import BadWeights
from sidecar.contracts.store import StoreError
from sidecar.contracts.weights import Weights, decode_weights
from sidecar.server.settings import SidecarSettings

if TYPE_CHECKING:
    from redis.asyncio import Redis

log = logging.getLogger("sidearm.sidecar")

_FROM_THE_START = "0-0"


class WeightStore:
    """Holds the current weights of one application; ``follow`` keeps them current.

    Args:
        store: a connection of its own, whose socket timeout is longer than ``settings.block_ms``.
        app: the application's name.
        settings: of the sidecar.
    """

    def __init__(self, store: Redis, app: str, settings: SidecarSettings) -> None:
        self._store = store
        self._app = app
        self._settings = settings
        self._complaint = ""
        self.current: Weights | None = None
        """None until the first publication: a cold start."""
        self.ready = False
        """The store was asked at least once; what it holds, or that it holds nothing, is known."""
        self.swaps = 0
        self.refused = 0
        self.store_errors = 0

    async def follow(self) -> None:
        """Keep the weights current until cancelled; outages of the store are waited out."""
        while True:
            try:
                seen = await self._latest_notice()  # before the look, so that nothing falls between the two
                await self.refresh()
                await self._wait_for_notice(seen)
            except (StoreError, OSError) as error:
                self.store_errors += 1
                self._complain(f"store: {type(error).__name__}: {error}; serving what is in memory")
                await asyncio.sleep(self._settings.retry_s)

    async def refresh(self) -> None:
        """Load what the store holds now, if it is another publication than the one in memory.

        Raises:
            StoreError: the store failed.
        """
        stored = await self._store.hmget(keys.weights(self._app), "epoch", "version")
        if stored[1] is not None and stored != self._held():
            await self._load()
        self.ready = True

    def _held(self) -> list[bytes | None]:
        if self.current is None:
            return [None, None]
        header = self.current.header
        return [str(header.epoch).encode(), str(header.version).encode()]

    async def _load(self) -> None:
        record = await self._store.hget(keys.weights(self._app), "record")
        try:
            weights = await asyncio.to_thread(decode_weights, record if isinstance(record, bytes) else b"")
            self._check_order(weights)
        except BadWeights as error:
            self.refused += 1
            kept = self.current.header.version if self.current else "none: cold"
            self._complain(f"weights refused: {error}; serving version {kept}")
            return
        self.current = weights
        self.swaps += 1
        self._complaint = ""
        log.info("weights version %s loaded", weights.header.version)

    def _check_order(self, weights: Weights) -> None:
        """Never back to an older learner's weights, nor to an older version of the same one's.

        Raises:
            BadWeights: these are older than those in memory.
        """
        if self.current is None:
            return
        fresh, held = weights.header, self.current.header
        if (fresh.epoch, fresh.version) < (held.epoch, held.version):
            raise BadWeights(
                f"version {fresh.version} of epoch {fresh.epoch} is older than {held.version} of {held.epoch}"
            )

    async def _latest_notice(self) -> bytes | str:
        entries = await self._store.xrevrange(keys.weights_log(self._app), count=1)
        return entries[0][0] or _FROM_THE_START if entries else _FROM_THE_START

    async def _wait_for_notice(self, seen: bytes | str) -> None:
        """Until the version stream has something after ``seen``, or the slow poll is due."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._settings.poll_s
        stream = keys.weights_log(self._app)
        while (left_ms := int((until - loop.time()) * 1000)) > 0:
            if await self._store.xread({stream: seen}, block=min(self._settings.block_ms, left_ms)):
                return

    def _complain(self, line: str) -> None:
        """Say it once, not at every try."""
        if line != self._complaint:
            self._complaint = line
            log.warning(line)
