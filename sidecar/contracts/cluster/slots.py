"""Which node of a cluster owns which slot, as far as one client knows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import redis
from redis.exceptions import ClusterDownError, TryAgainError
from redis.exceptions import ConnectionError as StoreConnectionError
from redis.exceptions import TimeoutError as StoreTimeoutError

from sidecar.contracts.cluster.address import Node

MOVES = 5
"""How often a command is sent elsewhere before its caller is told that the slot is on the move."""


class SlotMoving(StoreConnectionError):
    """Nobody answers for a slot just now: a failover or a migration. Nothing was done; ask again later."""


class SlotMap:
    """The owners as they were last told; belongs to one client.

    Args:
        seeds: whom to ask as long as nobody is known.
    """

    def __init__(self, seeds: Sequence[Node]) -> None:
        self.is_current = False
        """Whether it was told since something last failed."""
        self._seeds, self._owners, self._failed = tuple(seeds), cast("dict[int, Node]", {}), Node("", 0)

    def owner(self, slot: int | None) -> Node:
        """Of a slot; without one, any primary, the same each time.

        Raises:
            SlotMoving: none is known; whoever asks again asks the cluster again.
        """
        found = self._owners.get(slot) if slot is not None else next(iter(self._owners.values()), None)
        if found is None:
            self.is_current = False  # a node may have told of a moment in which the slot had no owner
            raise SlotMoving(f"no node of the cluster owns slot {slot}")
        return found

    def primaries(self) -> list[Node]:
        """All of them."""
        return sorted(set(self._owners.values()))

    def to_ask(self) -> list[Node]:
        """Whom to ask for the owners: who failed last comes last."""
        known = dict.fromkeys([*self.primaries(), *self._seeds])
        return sorted(known, key=lambda node: node == self._failed)

    def learn(self, slots: Sequence[Any], asked: Node) -> None:
        """The reply to ``CLUSTER SLOTS``, which may leave out the host of the node that was asked.

        >>> told, replica = SlotMap([]), [b"r", 7001, b"id"]
        >>> told.learn([[0, 1, [b"", 7000, b"id"], replica], [2, 2, [b"b", 7002, b"id"]]], Node("a", 1))
        >>> told.owner(1), told.owner(2)
        (Node(host='a', port=7000), Node(host='b', port=7002))
        """
        owners: dict[int, Node] = {}
        for first, last, primary, *_ in slots:
            node = Node((primary[0] or b"").decode() or asked.host, int(primary[1]))
            owners.update(dict.fromkeys(range(int(first), int(last) + 1), node))
        self._owners, self.is_current = owners, True

    def move(self, slot: int, node: Node) -> None:
        """A node said that another owns the slot; there may be more to learn."""
        self._owners[slot] = node
        self.is_current = False

    def doubt(self, failed: Node) -> None:
        """A node does not answer: it may have been replaced."""
        self._failed, self.is_current = failed, False

    @contextmanager
    def watched(self, node: Node) -> Iterator[None]:
        """What goes wrong there is remembered; a slot without an owner is a store that is away."""
        try:
            yield
        except (TryAgainError, ClusterDownError) as error:
            self.doubt(node)
            raise SlotMoving(str(error)) from error
        except (StoreConnectionError, StoreTimeoutError, redis.ReadOnlyError):
            self.doubt(node)
            raise
