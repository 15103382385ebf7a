"""The newest publication: by the deltas since the one in memory where they lead there, else whole."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, NamedTuple, cast

from sidecar.contracts import keys
from sidecar.contracts.deltas import Summed, caught_up, summed
from sidecar.contracts.errors import BadWeights
from sidecar.contracts.scripts.call import text
from sidecar.contracts.weights import Weights
from sidecar.server.past import Past

if TYPE_CHECKING:
    from redis.asyncio import Redis

log = logging.getLogger("sidearm.sidecar")

_FROM_THE_START = "0-0"
_Entry = tuple[bytes, dict[bytes, bytes]]


class Published(NamedTuple):
    """What the store says of the newest publication; None before the first."""

    epoch: bytes | None
    version: bytes | None
    checksum: bytes | None


class Newest:
    """Follows the publications of one application.

    Args:
        store: a connection.
        app: the application's name.
        past: keeps what comes, for explanations.
    """

    def __init__(self, store: Redis, app: str, past: Past) -> None:
        self._store, self._app, self._past = store, app, past
        self._held: Summed | None = None
        """What deltas are applied onto."""
        self._delta_at: bytes | str = _FROM_THE_START
        """The last delta that was looked at."""
        self.deltas = 0
        """Times that the newest was reached by deltas."""
        self.wholes = 0
        """Times that it was read whole."""

    async def load(self, published: Published) -> Weights:
        """What was published, or what has followed it meanwhile.

        Raises:
            BadWeights: what is there must not be served.
            StoreError: the store failed.
        """
        fresh = await self._by_deltas(published)
        if fresh is None:
            fresh = await self._whole()
            self.wholes += 1
        else:
            self.deltas += 1
        self._check_order(fresh.weights)
        self._held = fresh
        return fresh.weights

    async def _by_deltas(self, published: Published) -> Summed | None:
        """None when they do not lead there, for whatever reason: the whole record is there for that."""
        if self._held is None:
            return None
        found = await self._store.xrange(keys.deltas(self._app), f"({text(self._delta_at)}", "+")
        entries = cast("list[_Entry]", found)
        if not entries:
            return None
        self._delta_at = entries[-1][0]
        deltas = [_delta_of(entry) for entry in entries]
        try:
            fresh = await asyncio.to_thread(caught_up, self._held, deltas)
        except BadWeights as error:
            log.warning("deltas refused: %s; asking for the whole record", error)
            return None
        header = fresh.weights.header
        reached = fresh.checksum.encode() == published.checksum
        if not reached and header.version <= int(published.version or 0):
            return None
        self._past.go_on(fresh, deltas)
        return fresh

    async def _whole(self) -> Summed:
        """The last whole record and what changed since, looked at in one step."""
        pipe = self._store.pipeline(transaction=True)
        pipe.hget(keys.weights(self._app), "record")
        pipe.xrange(keys.deltas(self._app))
        record, entries = await pipe.execute()
        if entries:
            self._delta_at = entries[-1][0]
        base = await asyncio.to_thread(summed, record or b"")
        self._past.begin(record, base.weights.header.version)
        if not entries:
            return base
        deltas = [_delta_of(entry) for entry in entries]
        fresh = await asyncio.to_thread(caught_up, base, deltas)
        self._past.go_on(fresh, deltas)
        return fresh

    def _check_order(self, weights: Weights) -> None:
        """Never back to an older learner's weights, nor to an older version of the same one's.

        Raises:
            BadWeights: these are older than the newest that were loaded.
        """
        if self._held is None:
            return
        fresh, held = weights.header, self._held.weights.header
        if (fresh.epoch, fresh.version) < (held.epoch, held.version):
            raise BadWeights(
                f"version {fresh.version} of epoch {fresh.epoch} is older than {held.version} of {held.epoch}"
            )


def _delta_of(entry: _Entry) -> bytes:
    return entry[1].get(b"delta", b"")
