"""Several commands for a cluster on an event loop: see ``async_client.py``, whose client makes these."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol

import redis.asyncio
from redis.asyncio.client import Pipeline
from redis.exceptions import AskError, MovedError, ResponseError

from sidecar.contracts.cluster.address import Node
from sidecar.contracts.cluster.commands import Reply, Word, is_redirect, places_of, slot_of_all
from sidecar.contracts.cluster.slots import MOVES, SlotMap, SlotMoving


class Cluster(Protocol):
    """What a pipeline needs of its client."""

    slots: SlotMap
    connection_pool: redis.asyncio.ConnectionPool
    response_callbacks: Any

    async def learn(self) -> SlotMap:
        """Who has which slot."""

    def pool_of(self, node: Node) -> redis.asyncio.ConnectionPool:
        """Connections to it."""

    async def execute_command(self, *args: Word, **options: Word) -> Reply:
        """One command, wherever its slot is."""


class AsyncClusterPipeline(Pipeline):
    """Commands that are sent together: see ``AsyncClusterClient.pipeline``."""

    def __init__(self, cluster: Cluster, transaction: bool) -> None:
        super().__init__(cluster.connection_pool, cluster.response_callbacks, transaction, None)
        self._cluster = cluster

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        """The replies, in the order of the commands.

        Raises:
            SlotMoving: nothing was done, in a transaction.
            RedisError: as by a client of one server.
        """
        stack, self.command_stack = self.command_stack, []
        if not stack:
            return []
        if self.is_transaction:
            return await self._transaction(stack, raise_on_error)
        replies = await self._by_node(stack)
        if raise_on_error:
            self.raise_first_error(stack, replies)
        return replies

    async def _transaction(self, stack: list[Any], raise_on_error: bool) -> list[Any]:
        slot = slot_of_all(args for args, _ in stack)
        for _ in range(MOVES):
            node = (await self._cluster.learn()).owner(slot)
            whole = Pipeline(self._cluster.pool_of(node), self.response_callbacks, True, None)
            whole.command_stack = list(stack)
            try:
                with self._cluster.slots.watched(node):
                    return list(await whole.execute(raise_on_error))
            except MovedError as moved:
                self._cluster.slots.move(moved.slot_id, Node(moved.host, moved.port))
            except AskError as ask:
                raise SlotMoving(str(ask)) from ask
        raise SlotMoving(f"slot {slot} moved {MOVES} times while it was asked")

    async def _by_node(self, stack: list[Any]) -> list[Any]:
        """All are sent, whatever becomes of some; then the first node that failed is complained of."""
        places = places_of([args for args, _ in stack], (await self._cluster.learn()).owner)
        sending = [self._send(node, [stack[place] for place in of]) for node, of in places.items()]
        told = await asyncio.gather(*sending, return_exceptions=True)
        if failed := next((one for one in told if isinstance(one, BaseException)), None):
            raise failed
        replies: list[Any] = [None] * len(stack)
        for of, some in zip(places.values(), told, strict=True):
            for place, reply in zip(of, some, strict=True):  # type: ignore[arg-type]  # no exception: see above
                replies[place] = await self._elsewhere(*stack[place]) if is_redirect(reply) else reply
        return replies

    async def _send(self, node: Node, commands: Sequence[Any]) -> list[Any]:
        part = Pipeline(self._cluster.pool_of(node), self.response_callbacks, False, None)
        part.command_stack = list(commands)
        with self._cluster.slots.watched(node):
            return list(await part.execute(raise_on_error=False))

    async def _elsewhere(self, args: tuple[Any, ...], options: dict[str, Any]) -> Reply:
        self._cluster.slots.is_current = False
        try:
            return await self._cluster.execute_command(*args, **options)
        except ResponseError as error:
            return error
