"""The base model in memory: the one that the store names, but for what must not be served."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, cast

import redis

from sidecar.contracts import keys
from sidecar.contracts.base_model import name_of
from sidecar.contracts.errors import BadWeights
from sidecar.contracts.weights import decode_weights
from sidecar.policy.base import BaseModel

if TYPE_CHECKING:
    from redis.asyncio import Redis

log = logging.getLogger("sidearm.sidecar")


_FOREIGN = b"?"
"""Stands for the name, where something else lies."""


class BaseStore:
    """Of one application.

    Args:
        store: a connection.
        app: the application's name.
        feature: under which its score is a feature; empty: none is looked for.
    """

    def __init__(self, store: Redis, app: str, feature: str) -> None:
        self._store, self._app, self._feature = store, app, feature
        self._refused = b""
        """Name of the one that was refused last: once is enough."""
        self.current: BaseModel | None = None

    async def follow(self) -> None:
        """Hold the base model that the store names; one that must not be served changes nothing.

        Raises:
            BadWeights: such a one; told once.
            StoreError: the store failed.
        """
        if not self._feature:
            return
        try:
            name = cast("bytes | None", await self._store.hget(keys.base_model(self._app), "name"))
        except redis.ResponseError as error:  # something else lies there
            if self._refused != _FOREIGN:
                self._refused = _FOREIGN
                raise BadWeights(f"base model: {error}; the one before stays") from error
            return
        if name is None:
            self.current = None
        elif name != self._refused and (self.current is None or self.current.name.encode() != name):
            await self._load()

    async def _load(self) -> None:
        found = await self._store.hmget(keys.base_model(self._app), "name", "record")
        name, record = cast("list[bytes | None]", found)
        if name is None or record is None:  # taken out since
            return
        try:
            if name_of(record).encode() != name:
                raise BadWeights(f"its record is {name_of(record)}")
            weights = await asyncio.to_thread(decode_weights, record)
        except BadWeights as error:
            self._refused = name
            raise BadWeights(f"base model {name!r} refused: {error}; the one before stays") from error
        self.current, self._refused = BaseModel(name.decode(), self._feature, weights), b""
        log.info("base model %s loaded", self.current.name)
