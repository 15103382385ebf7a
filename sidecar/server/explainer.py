"""Explains scores with the weights that gave them: those that are served, or others that are kept."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from typing import TYPE_CHECKING

from sidecar.contracts import keys
from sidecar.contracts.errors import BadWeights
from sidecar.contracts.explaining import decode_request, encode
from sidecar.contracts.store import StoreError
from sidecar.contracts.weights import Weights, decode_weights
from sidecar.policy.explaining import explain
from sidecar.server.weight_store import WeightStore

if TYPE_CHECKING:
    from redis.asyncio import Redis

log = logging.getLogger("sidearm.sidecar")

_KEPT = 4
"""Earlier versions in memory; people look at decisions that were made together."""


class Explainer:
    """Answers requests for explanations of one application.

    Args:
        store: a connection.
        app: the application's name.
        weights: what is served.
    """

    def __init__(self, store: Redis, app: str, weights: WeightStore) -> None:
        self._store = store
        self._app = app
        self._weights = weights
        self._past: OrderedDict[int, Weights] = OrderedDict()

    async def answer(self, body: bytes) -> bytes:
        """The explanation that is asked for. In a thread: it must not hold up what is scored meanwhile.

        Raises:
            BadEvent: no request, or a number outside its range.
            NothingToScore: it has no arms.
        """
        request = decode_request(body)
        weights = await self._of(request.version) or self._weights.current
        return encode(await asyncio.to_thread(explain, request, weights))

    async def _of(self, version: int) -> Weights | None:
        """That version, from memory or from the store; None where nobody keeps it any more."""
        current = self._weights.current
        if current is not None and current.header.version == version:
            return current
        if version in self._past:
            self._past.move_to_end(version)
            return self._past[version]
        found = await asyncio.to_thread(self._weights.past.find, version) or await self._read(version)
        if found is not None:
            self._past[version] = found
            while len(self._past) > _KEPT:
                self._past.popitem(last=False)
        return found

    async def _read(self, version: int) -> Weights | None:
        field = str(version)
        try:
            for place in (keys.deployed(self._app), keys.model_records(self._app)):
                if isinstance(record := await self._store.hget(place, field), bytes):
                    weights = await asyncio.to_thread(decode_weights, record)
                    return weights if weights.header.version == version else None
        except (StoreError, OSError, BadWeights) as error:
            log.warning("version %s cannot be read for an explanation: %s", version, error)
        return None
