"""A client of a cluster for an event loop: as ``client.py``, for all that the servers send.

Transactions under ``WATCH`` are for those who have time, and are not here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import redis.asyncio
from redis.asyncio.client import Pipeline
from redis.exceptions import AskError, MovedError, RedisError
from redis.exceptions import ConnectionError as StoreConnectionError

from sidecar.contracts.cluster.address import ClusterAddress, Node
from sidecar.contracts.cluster.async_pipeline import AsyncClusterPipeline
from sidecar.contracts.cluster.commands import Reply, Word, check_replicas, slot_of, writes
from sidecar.contracts.cluster.slots import MOVES, SlotMap, SlotMoving

Pool = redis.asyncio.ConnectionPool


class AsyncClusterClient(redis.asyncio.Redis):
    """As a client of one server, for all of what the servers of this platform send.

    Args:
        address: of the cluster.
        make_pool: of connections to the node at an address.
    """

    def __init__(self, address: ClusterAddress, make_pool: Callable[[str], Pool]) -> None:
        self.address, self.slots = address, SlotMap(address.seeds)
        self._make_pool, self._pools = make_pool, dict[Node, Pool]()
        super().__init__(connection_pool=self.pool_of(address.seeds[0]))

    def pool_of(self, node: Node) -> Pool:
        """Its connections."""
        if node not in self._pools:
            self._pools[node] = self._make_pool(self.address.url_of(node))
        return self._pools[node]

    async def learn(self) -> SlotMap:
        """Who has which slot, by what the cluster says now.

        Raises:
            StoreConnectionError: no node answers.
        """
        if self.slots.is_current:
            return self.slots
        failed: Exception = SlotMoving("the cluster names no node")
        for node in self.slots.to_ask():
            try:
                pipe = Pipeline(self.pool_of(node), {}, False, None)
                pipe.execute_command("CLUSTER SLOTS")
                self.slots.learn((await pipe.execute())[0], node)
            except (RedisError, OSError) as error:
                failed = error
                continue
            return self.slots
        raise StoreConnectionError(f"no node of the cluster says who owns what: {failed}") from failed

    async def execute_command(self, *args: Word, **options: Word) -> Reply:
        """Where its key is; what has no key goes to any primary, a script that is loaded to all.

        Raises:
            SlotMoving, NotReplicated, RedisError: as by ``ClusterClient``.
        """
        if args[0] == "SCRIPT LOAD":
            return await self._everywhere(args, options)
        slot, asking = slot_of(args), None
        for _ in range(MOVES):
            node = asking or (await self.learn()).owner(slot)
            try:
                with self.slots.watched(node):
                    return await self._at(node, args, options, asking=asking is not None)
            except MovedError as moved:
                asking = None
                self.slots.move(moved.slot_id, Node(moved.host, moved.port))
            except AskError as ask:
                asking = Node(ask.host, ask.port)
        raise SlotMoving(f"slot {slot} moved {MOVES} times while it was asked")

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> AsyncClusterPipeline:
        """One transaction on one slot; or commands to any, all nodes at the same time."""
        return AsyncClusterPipeline(self, transaction)

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        """Every connection."""
        for pool in self._pools.values():
            await pool.disconnect()

    async def _at(self, node: Node, args: tuple[Any, ...], options: dict[str, Any], *, asking: bool) -> Reply:
        pipe = Pipeline(self.pool_of(node), self.response_callbacks, False, None)
        if asking:
            pipe.execute_command("ASKING")
        pipe.execute_command(*args, **options)
        replicas = self.address.replicas if writes([args]) else 0
        if replicas:
            pipe.execute_command("WAIT", replicas, self.address.wait_ms)
        replies = await pipe.execute(raise_on_error=False)
        acknowledged = replies.pop() if replicas else 0
        if isinstance(replies[-1], Exception):
            raise replies[-1]
        check_replicas(acknowledged, replicas)
        return replies[-1]

    async def _everywhere(self, args: tuple[Any, ...], options: dict[str, Any]) -> Reply:
        """A primary that is away gets its script when it is back: it says that it lacks it."""
        primaries = (await self.learn()).primaries()
        told = await asyncio.gather(
            *(self._at(node, args, options, asking=False) for node in primaries), return_exceptions=True
        )
        replies = [reply for reply in told if not isinstance(reply, BaseException)]
        if not replies:
            raise SlotMoving(f"no primary answers: {told}")
        return replies[0]
