"""A client of a cluster for an event loop: as ``cluster.py``, for all that the servers send.

Transactions under ``WATCH`` are for those who have time, and are not here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import redis.asyncio
from redis.asyncio.client import Pipeline
from redis.exceptions import AskError, ClusterDownError, MovedError, RedisError, ResponseError, TryAgainError
from redis.exceptions import ConnectionError as StoreConnectionError
from redis.exceptions import TimeoutError as StoreTimeoutError

from sidecar.contracts.cluster_map import (
    MOVES,
    ClusterAddress,
    Node,
    Reply,
    SlotMap,
    SlotMoving,
    Word,
    check_replicas,
    is_redirect,
    places_of,
    slot_of,
    slot_of_all,
    writes,
)
from sidecar.contracts.lines import Command, Lines

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
                async with self.watched(node):
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

    @asynccontextmanager
    async def watched(self, node: Node) -> AsyncIterator[None]:
        """What goes wrong there is remembered; a slot without an owner is a store that is away."""
        try:
            yield
        except (TryAgainError, ClusterDownError) as error:
            self.slots.doubt(node)
            raise SlotMoving(str(error)) from error
        except (StoreConnectionError, StoreTimeoutError, redis.ReadOnlyError):
            self.slots.doubt(node)
            raise

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


class AsyncClusterPipeline(Pipeline):
    """Commands that are sent together: see :meth:`AsyncClusterClient.pipeline`."""

    def __init__(self, cluster: AsyncClusterClient, transaction: bool) -> None:
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
                async with self._cluster.watched(node):
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
        async with self._cluster.watched(node):
            return list(await part.execute(raise_on_error=False))

    async def _elsewhere(self, args: tuple[Any, ...], options: dict[str, Any]) -> Reply:
        self._cluster.slots.is_current = False
        try:
            return await self._cluster.execute_command(*args, **options)
        except ResponseError as error:
            return error


class ClusterLines:
    """As ``Lines``, for a cluster: a conversation with each node, all at the same time.

    Args:
        client: whose pools the connections are from.
    """

    def __init__(self, client: AsyncClusterClient) -> None:
        self._client, self._lines = client, dict[Node, Lines]()

    async def talk(self, commands: Sequence[Command]) -> list[object]:
        """The reply to each command, or the error that it is; that of a node is the reply to all it was sent.

        Raises:
            StoreConnectionError: no node says who owns what.
        """
        if not commands:
            return []
        places = places_of(commands, (await self._client.learn()).owner)
        told = await asyncio.gather(
            *(self._at(node, [commands[place] for place in of]) for node, of in places.items())
        )
        replies: list[object] = [None] * len(commands)
        for of, some in zip(places.values(), told, strict=True):
            for place, reply in zip(of, some, strict=True):
                replies[place] = await self._elsewhere(commands[place]) if is_redirect(reply) else reply
        return replies

    async def _at(self, node: Node, commands: list[Command]) -> list[object]:
        replicas = self._client.address.replicas if writes(commands) else 0
        waiting: list[Command] = [("WAIT", replicas, self._client.address.wait_ms)] if replicas else []
        try:
            async with self._client.watched(node):
                replies = await self._of(node).talk([*commands, *waiting])
                check_replicas(replies.pop() if replicas else 0, replicas)
                return replies
        except (RedisError, OSError) as error:
            return [error] * len(commands)

    def _of(self, node: Node) -> Lines:
        if node not in self._lines:
            self._lines[node] = Lines(self._client.pool_of(node))
        return self._lines[node]

    async def _elsewhere(self, command: Command) -> object:
        self._client.slots.is_current = False
        try:
            return await self._client.execute_command(*command)
        except RedisError as error:
            return error
