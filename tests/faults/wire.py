"""The way to the store, on which requests and replies are lost, and one may die."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import redis

from sidecar.contracts.keys import Keys, weights
from tests.faults.direct import DirectPipeline, DirectRedis

STORE = ("asked", "answered")
"""The steps around a command."""


class Wire:
    """What happens around every command.

    Args:
        fate: a number in [0, 1) for each command.
        lost: the share of requests that are lost, and of replies.
        step: called before and after.
    """

    def __init__(self, fate: Callable[[], float], lost: float, step: Callable[[str], None]):
        self.fate, self.lost, self.step = fate, lost, step
        self.losses = 0

    def carry(self, command: Callable[[], Any]) -> Any:
        self.step("asked")
        fate = self.fate() if self.lost else 0.5
        if fate < self.lost:
            self.losses += 1
            raise redis.ConnectionError("the request was lost")
        reply = command()
        if fate >= 1.0 - self.lost:
            self.losses += 1
            raise redis.ConnectionError("the reply was lost")
        self.step("answered")
        return reply


class LossyRedis(DirectRedis):
    """A client whose commands go over a wire."""

    wire: Wire

    @classmethod
    def on(cls, wire: Wire, client: redis.Redis) -> LossyRedis:
        lossy = cls(connection_pool=client.connection_pool)
        lossy.wire = wire
        return lossy

    def execute_command(self, *args: Any, **options: Any) -> Any:
        return self.wire.carry(lambda: DirectRedis.execute_command(self, *args, **options))

    def pipeline(self, transaction: bool = True, shard_hint: Any = None) -> LossyPipeline:
        pipe = LossyPipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)
        pipe.wire = self.wire
        return pipe


class LossyPipeline(DirectPipeline):
    wire: Wire

    def execute(self, raise_on_error: bool = True) -> list[Any]:
        try:
            return self.wire.carry(lambda: DirectPipeline.execute(self, raise_on_error))
        finally:
            self.reset()


class VirtualTime:
    """The store's time as its scripts see it, moved by the seed and by nothing else.

    A script takes the later of (the store's clock + the tests' skew) and the latest time that it saw before.
    With a skew of minus some thousand years only the latter is left, and that is ours to move.
    """

    SKEW_MS = -(10**14)

    def __init__(self, client: redis.Redis, app: str, partitions: list[Keys], skew_keys: list[str], ms: int):
        self._client, self._guards = client, [*(keys.counters for keys in partitions), weights(app)]
        self.ms = ms
        client.mset(dict.fromkeys(skew_keys, self.SKEW_MS))
        self.advance(0)

    def advance(self, ms: int) -> None:
        self.ms += ms
        pipe = self._client.pipeline(transaction=False)
        for key in self._guards:
            pipe.hset(key, "clock_ms", self.ms)
        pipe.execute()
