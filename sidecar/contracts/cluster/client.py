"""A client of a cluster for threads: each command goes to who owns its slot.

It follows a slot that has moved, since then nothing was done, and sends nothing twice otherwise: the rule of
``store.py``. After a failure the owners are asked for anew, so that a primary which took over is found by the
next call; nothing is held that a failover would leave behind.

With ``replicas`` every script's reply waits until so many replicas have its writes (``WAIT`` on the same
connection); :class:`NotReplicated` otherwise, and the caller repeats the script, which recognises that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import redis
from redis.client import Pipeline
from redis.exceptions import AskError, MovedError, RedisError
from redis.exceptions import ConnectionError as StoreConnectionError
from redis.exceptions import TimeoutError as StoreTimeoutError

from sidecar.contracts.cluster.address import ClusterAddress, Node
from sidecar.contracts.cluster.commands import Reply, Word, check_replicas, slot_of, writes
from sidecar.contracts.cluster.pipeline import ClusterPipeline
from sidecar.contracts.cluster.slots import MOVES, SlotMap, SlotMoving
from sidecar.contracts.keys import mark_beside

Pool = redis.ConnectionPool
_MARK_MS = 60_000


class ClusterClient(redis.Redis):
    """As a client of one server, for all of what this platform sends.

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

    def owner(self, slot: int | None) -> Node:
        """Who has the slot, by what the cluster says now.

        Raises:
            SlotMoving: nobody.
            StoreConnectionError: no node answers.
        """
        if not self.slots.is_current:
            self._learn()
        return self.slots.owner(slot)

    def execute_command(self, *args: Word, **options: Word) -> Reply:
        """Where its key is; what has no key goes to any primary, a script that is loaded to all.

        Raises:
            SlotMoving, NotReplicated, RedisError: as said above.
        """
        if args[0] == "SCRIPT LOAD":
            return self._everywhere(*args, **options)
        slot, asking = slot_of(args), None
        for _ in range(MOVES):
            node = asking or self.owner(slot)
            try:
                with self.slots.watched(node):
                    return self._at(node, args, options, asking=asking is not None)
            except MovedError as moved:
                asking = None
                self.slots.move(moved.slot_id, Node(moved.host, moved.port))
            except AskError as ask:
                asking = Node(ask.host, ask.port)
        raise SlotMoving(f"slot {slot} moved {MOVES} times while it was asked")

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> ClusterPipeline:
        """One transaction on one slot; or commands to any, a round trip for each node."""
        return ClusterPipeline(self, transaction)

    def wait_for_replicas(self, keys: Iterable[str]) -> None:
        """Until the replicas have what the primaries of these keys have now; nothing if none is asked for.

        What was read from a primary is certain only then: a failover might take it back.

        Raises:
            NotReplicated: too few have it in time.
            SlotMoving, StoreConnectionError: as :meth:`execute_command`.
        """
        if not self.address.replicas:
            return
        for node, key in {self.owner(slot_of(("GET", key))): key for key in keys}.items():
            with self.slots.watched(node):
                self._replicated(node, [("SET", mark_beside(key), "1", "PX", _MARK_MS)])

    def close(self) -> None:
        """Every connection."""
        for pool in self._pools.values():
            pool.disconnect()

    def _at(self, node: Node, args: tuple[Any, ...], options: dict[str, Any], *, asking: bool) -> Reply:
        if asking or (writes([args]) and self.address.replicas):
            return self._replicated(node, [("ASKING",)] * asking + [args], options)
        with redis.Redis(connection_pool=self.pool_of(node)) as client:
            client.response_callbacks = self.response_callbacks
            return client.execute_command(*args, **options)

    def _replicated(
        self, node: Node, commands: list[tuple[Any, ...]], options: dict[str, Any] | None = None
    ) -> Reply:
        """The reply to the last of the commands, once the replicas have what it wrote."""
        pipe = Pipeline(self.pool_of(node), self.response_callbacks, False, None)
        for command in commands:
            pipe.execute_command(*command, **(options or {} if command is commands[-1] else {}))  # type: ignore[no-untyped-call]  # theirs
        if replicas := self.address.replicas:
            pipe.execute_command("WAIT", replicas, self.address.wait_ms)  # type: ignore[no-untyped-call]  # theirs
        replies = pipe.execute(raise_on_error=False)
        acknowledged = replies.pop() if replicas else 0
        if isinstance(replies[-1], Exception):
            raise replies[-1]
        check_replicas(acknowledged, replicas)
        return replies[-1]

    def _everywhere(self, *args: Word, **options: Word) -> Reply:
        """A primary that is away gets its script when it is back: it says that it lacks it."""
        self.owner(None)
        replies, failed = [], SlotMoving("no primary answers")
        for node in self.slots.primaries():
            try:
                with self.slots.watched(node):
                    replies.append(self._at(node, args, options, asking=False))
            except (StoreConnectionError, StoreTimeoutError) as error:
                failed = SlotMoving(str(error))
        if not replies:
            raise failed
        return replies[0]

    def _learn(self) -> None:
        failed: Exception = SlotMoving("the cluster names no node")
        for node in self.slots.to_ask():
            try:
                with redis.Redis(connection_pool=self.pool_of(node)) as client:
                    client.response_callbacks = {}  # as the server says it
                    self.slots.learn(client.execute_command("CLUSTER SLOTS"), node)
                return
            except (RedisError, OSError) as error:
                failed = error
        raise StoreConnectionError(f"no node of the cluster says who owns what: {failed}") from failed
