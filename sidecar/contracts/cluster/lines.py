"""Conversations with a cluster, as ``contracts/lines.py`` has them with one server."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from redis.exceptions import RedisError

from sidecar.contracts.cluster.address import Node
from sidecar.contracts.cluster.async_client import AsyncClusterClient
from sidecar.contracts.cluster.commands import check_replicas, is_redirect, places_of, writes
from sidecar.contracts.line import Heard
from sidecar.contracts.lines import Asides, Command, Lines


class ClusterLines:
    """As ``Lines``, for a cluster: a conversation with each node, all at the same time.

    Args:
        client: whose pools the connections are from.
    """

    def __init__(self, client: AsyncClusterClient) -> None:
        self._client, self._lines, self._asides = client, dict[Node, Lines](), Asides()

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

    def ask(self, commands: Sequence[Command], heard: Heard) -> None:
        """The same for who is told and does not wait; ``heard`` must not raise."""
        self._asides.tell(self.talk(commands), heard)

    async def _at(self, node: Node, commands: list[Command]) -> list[object]:
        replicas = self._client.address.replicas if writes(commands) else 0
        waiting: list[Command] = [("WAIT", replicas, self._client.address.wait_ms)] if replicas else []
        try:
            with self._client.slots.watched(node):
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
