"""Several commands for a cluster at once: see ``client.py``, whose client makes these."""

from __future__ import annotations

from typing import Any, Protocol

import redis
from redis.client import Pipeline
from redis.exceptions import AskError, ClusterDownError, MovedError, RedisError, ResponseError, TryAgainError
from redis.exceptions import ConnectionError as StoreConnectionError
from redis.exceptions import TimeoutError as StoreTimeoutError

from sidecar.contracts.cluster.address import ClusterAddress, Node
from sidecar.contracts.cluster.commands import (
    Reply,
    Word,
    check_replicas,
    is_redirect,
    places_of,
    slot_of,
    slot_of_all,
    writes,
)
from sidecar.contracts.cluster.slots import MOVES, SlotMap, SlotMoving

Stack = list[tuple[tuple[Any, ...], dict[str, Any]]]
"""Commands with their options."""


class Cluster(Protocol):
    """What a pipeline needs of its client."""

    address: ClusterAddress
    slots: SlotMap
    connection_pool: redis.ConnectionPool
    response_callbacks: Any

    def owner(self, slot: int | None) -> Node:
        """Who has the slot."""

    def pool_of(self, node: Node) -> redis.ConnectionPool:
        """Connections to it."""

    def execute_command(self, *args: Word, **options: Word) -> Reply:
        """One command, wherever its slot is."""


class ClusterPipeline(Pipeline):
    """Commands that are sent together: see ``ClusterClient.pipeline``."""

    def __init__(self, cluster: Cluster, transaction: bool) -> None:
        super().__init__(cluster.connection_pool, cluster.response_callbacks, transaction, None)
        self._cluster, self._whole = cluster, transaction

    def immediate_execute_command(self, *args: Word, **options: Word) -> Reply:
        """``WATCH``, and what is read under it: on the connection of the first key."""
        node = self._settle(args) if self.connection is None else None
        try:
            return super().immediate_execute_command(*args, **options)  # type: ignore[no-untyped-call]  # theirs
        except MovedError as moved:
            self._cluster.slots.move(moved.slot_id, Node(moved.host, moved.port))
            raise redis.WatchError(f"slot {moved.slot_id} moved: nothing was done") from moved
        except (AskError, TryAgainError, ClusterDownError) as error:
            raise SlotMoving(f"a slot is being moved: {error}") from error
        except (StoreConnectionError, StoreTimeoutError):
            if node:
                self._cluster.slots.doubt(node)
            raise

    def execute(self, raise_on_error: bool = True) -> list[Any]:
        """The replies, in the order of the commands.

        Raises:
            SlotMoving, WatchError: nothing was done.
            RedisError: as by a client of one server.
        """
        if not self.command_stack and not self.watching:
            return []
        if self._whole or self.explicit_transaction:
            return self._transaction(raise_on_error)
        stack, self.command_stack = self.command_stack, []
        replies = self._by_node(stack)
        if raise_on_error:
            self.raise_first_error(stack, replies)  # type: ignore[no-untyped-call]  # theirs
        return replies

    def _transaction(self, raise_on_error: bool) -> list[Any]:
        stack, watched = list(self.command_stack), self.connection is not None
        slot_of_all(args for args, _ in stack)
        for _ in range(MOVES):
            self.command_stack = list(stack)
            node = None if watched else self._settle(*(args for args, _ in stack))
            try:
                return super().execute(raise_on_error)
            except MovedError as moved:
                self._cluster.slots.move(moved.slot_id, Node(moved.host, moved.port))
                if watched:
                    raise redis.WatchError(f"slot {moved.slot_id} moved: nothing was done") from moved
            except (AskError, TryAgainError, ClusterDownError) as error:
                raise SlotMoving(f"a slot is being moved: {error}") from error
            except (StoreConnectionError, StoreTimeoutError):
                if node:
                    self._cluster.slots.doubt(node)
                raise
        raise SlotMoving(f"a slot moved {MOVES} times while it was asked")

    def _by_node(self, stack: Stack) -> list[Any]:
        """All are sent, whatever becomes of some; then the first node that failed is complained of."""
        replies: list[Any] = [None] * len(stack)
        failed: Exception | None = None
        for node, places in places_of([args for args, _ in stack], self._cluster.owner).items():
            try:
                with self._cluster.slots.watched(node):
                    told = self._send(node, [stack[place] for place in places])
            except (RedisError, OSError) as error:
                failed = failed or error
                continue
            for place, reply in zip(places, told, strict=True):
                replies[place] = self._elsewhere(*stack[place]) if is_redirect(reply) else reply
        if failed:
            raise failed
        return replies

    def _send(self, node: Node, commands: Stack) -> list[Any]:
        pipe = Pipeline(self._cluster.pool_of(node), self.response_callbacks, False, None)
        pipe.command_stack = list(commands)
        replicas = self._cluster.address.replicas if writes(args for args, _ in commands) else 0
        if replicas:
            pipe.execute_command("WAIT", replicas, self._cluster.address.wait_ms)  # type: ignore[no-untyped-call]  # theirs
        replies: list[Any] = pipe.execute(raise_on_error=False)
        check_replicas(replies.pop() if replicas else 0, replicas)
        return replies

    def _elsewhere(self, args: tuple[Any, ...], options: dict[str, Any]) -> Reply:
        self._cluster.slots.is_current = False
        try:
            return self._cluster.execute_command(*args, **options)
        except ResponseError as error:
            return error

    def _settle(self, *commands: tuple[Any, ...]) -> Node:
        """From here on it is a pipeline of one node: that of the first key."""
        slot = next((slot for slot in map(slot_of, commands) if slot is not None), None)
        node = self._cluster.owner(slot)
        self.connection_pool = self._cluster.pool_of(node)
        return node
