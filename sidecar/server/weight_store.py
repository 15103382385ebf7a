"""The weights in memory: follow the store, refuse what must not be served, keep the last good.

Two streams tell at once (``XREAD BLOCK``), one of new versions, one of pins (``contracts/models.py``); a slow
poll is the net below them. Most versions come as deltas onto the one before (``contracts/deltas.py``); one
that does not fit does no harm, since the whole record is there. The array is replaced by one assignment
between two batches, so no request is scored with half of each.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, cast

import redis

from sidecar.contracts import keys
from sidecar.contracts.base_model import name_of
from sidecar.contracts.complaint import Complaint
from sidecar.contracts.deltas import Summed, caught_up, summed
from sidecar.contracts.errors import BadWeights
from sidecar.contracts.scripts.call import text
from sidecar.contracts.scripts.models import serving_call
from sidecar.contracts.store import AsyncScripts, StoreError
from sidecar.contracts.weights import Weights, decode_weights
from sidecar.policy.base import BaseModel
from sidecar.server.deployed import Deployed
from sidecar.server.past import Past
from sidecar.server.settings import SidecarSettings

if TYPE_CHECKING:
    from redis.asyncio import Redis

log = logging.getLogger("sidearm.sidecar")

_FROM_THE_START = "0-0"
_SAY_S = 1.0
"""Least time between two words of what is served, each of them a write: a pin is told at once."""

Seen = dict[bytes | str | memoryview, int | bytes | str | memoryview]
"""Stream to the last position in it."""

_Entry = tuple[bytes, dict[bytes, bytes]]


class Wanted(NamedTuple):
    """What the store says is to be served."""

    epoch: bytes | None
    version: bytes | None
    """Of the newest publication; None before the first."""
    checksum: bytes | None
    pinned: bytes | None
    """The version to be served instead."""
    deployed: Sequence[bytes] = ()
    """Fixed versions that score too."""


class WeightStore:
    """Holds the current weights of one application; ``follow`` keeps them current.

    Args:
        store: a connection of its own, whose socket timeout is longer than ``settings.block_ms``.
        app: the application's name.
        settings: of the sidecar.
        base_feature: under which a base model's score is a feature; empty: none is looked for.
    """

    def __init__(self, store: Redis, app: str, settings: SidecarSettings, base_feature: str = "") -> None:
        self._store = store
        self._scripts = AsyncScripts.on(store)
        self._app = app
        self._settings = settings
        self._base_feature = base_feature
        self._base_refused = b""
        """Name of the base model that was refused last: once is enough."""
        self._name = settings.name or f"{socket.gethostname()}:{os.getpid()}"
        self._complaint = Complaint(log)
        self._newest: Summed | None = None
        """The newest publication that was loaded: what deltas are applied onto."""
        self._delta_at: bytes | str = _FROM_THE_START
        """The last delta that was looked at."""
        self._said: tuple[int, bool, str] | None = None
        self._said_at = float("-inf")
        self.current: Weights | None = None
        """None until the first publication: a cold start."""
        self.base: BaseModel | None = None
        """The base model, if there is one."""
        self.past = Past(settings.past_bytes)
        """What was served before it."""
        self.deployed = Deployed(store, app)
        """Fixed versions that score too."""
        self.pinned = False
        """Whether ``current`` is served because it was pinned."""
        self.ready = False
        """The store was asked at least once; what it holds, or that it holds nothing, is known."""
        self.swaps = 0
        self.deltas = 0
        """Times that the newest was reached by deltas."""
        self.wholes = 0
        """Times that it was read whole."""
        self.refused = 0
        self.store_errors = 0

    async def follow(self) -> None:
        """Keep the weights current until cancelled; outages of the store are waited out."""
        while True:
            try:
                seen = await self._latest_notices()  # before the look, so that nothing falls between the two
                await self.refresh()
                await self._say()
                await self._wait_for_notice(seen)
            except (StoreError, OSError) as error:
                self.store_errors += 1
                self._complaint.say(f"store: {type(error).__name__}: {error}; serving what is in memory")
                await asyncio.sleep(self._settings.retry_s)

    async def refresh(self) -> None:
        """Load what the store says is to be served, if it is something else than what is in memory.

        Raises:
            StoreError: the store failed.
        """
        wanted = await self._look()
        try:
            if wanted.pinned is not None:
                await self._load_pinned(wanted.pinned)
            elif wanted.version is not None and (self.pinned or not self._holds(wanted)):
                await self._load_newest(wanted)
        except BadWeights as error:
            self.refused += 1
            kept = self.current.header.version if self.current else "none: cold"
            self._complaint.say(f"weights refused: {error}; serving version {kept}")
        if self._base_feature:
            await self._follow_base()
        await self.deployed.follow(wanted.deployed)
        self.ready = True

    async def _look(self) -> Wanted:
        pipe = self._store.pipeline(transaction=False)
        pipe.hmget(keys.weights(self._app), "epoch", "version", "checksum")
        pipe.hget(keys.pin(self._app), "version")
        pipe.hkeys(keys.deployed(self._app))
        (epoch, version, checksum), pinned, deployed = await pipe.execute()
        return Wanted(epoch, version, checksum, pinned, deployed)

    async def _follow_base(self) -> None:
        """Score with the base model that the store names; one that must not be served changes nothing."""
        try:
            name = cast("bytes | None", await self._store.hget(keys.base_model(self._app), "name"))
        except redis.ResponseError as error:  # something else lies there
            self._complaint.say(f"base model: {error}; the one before stays")
            return
        if name is None:
            self.base = None
        elif name != self._base_refused and (self.base is None or self.base.name.encode() != name):
            await self._load_base()

    async def _load_base(self) -> None:
        found = await self._store.hmget(keys.base_model(self._app), "name", "record")
        name, record = cast("list[bytes | None]", found)
        if name is None or record is None:  # taken out since
            return
        try:
            if name_of(record).encode() != name:
                raise BadWeights(f"its record is {name_of(record)}")
            weights = await _decoded(record)
        except BadWeights as error:
            self._base_refused = name
            self.refused += 1
            self._complaint.say(f"base model {name!r} refused: {error}; the one before stays")
            return
        self.base, self._base_refused = BaseModel(name.decode(), self._base_feature, weights), b""
        log.info("base model %s loaded", self.base.name)

    def _holds(self, wanted: Wanted) -> bool:
        if self.current is None:
            return False
        header = self.current.header
        return (wanted.epoch, wanted.version) == (b"%d" % header.epoch, b"%d" % header.version)

    async def _load_newest(self, wanted: Wanted) -> None:
        """By the deltas since what is in memory, if they lead to what is wanted, else whole.

        Raises:
            BadWeights: what is there must not be served.
        """
        fresh = await self._by_deltas(wanted)
        if fresh is None:
            fresh = await self._whole()
            self.wholes += 1
        else:
            self.deltas += 1
        self._check_order(fresh.weights)
        self._newest = fresh
        self._swap(fresh.weights, pinned=False)

    async def _by_deltas(self, wanted: Wanted) -> Summed | None:
        """None when they do not lead there, for whatever reason: the whole record is there for that."""
        if self._newest is None:
            return None
        found = await self._store.xrange(keys.deltas(self._app), f"({text(self._delta_at)}", "+")
        entries = cast("list[_Entry]", found)
        if not entries:
            return None
        self._delta_at = entries[-1][0]
        deltas = [_delta_of(entry) for entry in entries]
        try:
            fresh = await asyncio.to_thread(caught_up, self._newest, deltas)
        except BadWeights as error:
            log.warning("deltas refused: %s; asking for the whole record", error)
            return None
        header = fresh.weights.header
        reached = fresh.checksum.encode() == wanted.checksum or header.version > int(wanted.version or 0)
        if reached:
            self.past.go_on(fresh, deltas)
        return fresh if reached else None

    async def _whole(self) -> Summed:
        """The last whole record and what changed since, looked at in one step."""
        pipe = self._store.pipeline(transaction=True)
        pipe.hget(keys.weights(self._app), "record")
        pipe.xrange(keys.deltas(self._app))
        record, entries = await pipe.execute()
        if entries:
            self._delta_at = entries[-1][0]
        base = await asyncio.to_thread(summed, record or b"")
        self.past.begin(record, base.weights.header.version)
        if not entries:
            return base
        deltas = [_delta_of(entry) for entry in entries]
        fresh = await asyncio.to_thread(caught_up, base, deltas)
        self.past.go_on(fresh, deltas)
        return fresh

    async def _load_pinned(self, version: bytes) -> None:
        """The version somebody pinned, however old it is.

        Raises:
            BadWeights: it is not there, not whole, or of another version than it is kept as.
        """
        if self.current is not None and b"%d" % self.current.header.version == version:
            self.pinned = True
            return
        weights = await _decoded(await self._store.hget(keys.model_records(self._app), version))
        if b"%d" % weights.header.version != version:
            raise BadWeights(f"what is kept as version {version!r} is version {weights.header.version}")
        self._swap(weights, pinned=True)

    def _swap(self, weights: Weights, *, pinned: bool) -> None:
        self.current, self.pinned = weights, pinned
        self.swaps += 1
        self._complaint.over()
        level = logging.INFO if pinned or self.swaps == 1 else logging.DEBUG  # twenty a second
        log.log(level, "weights version %s loaded%s", weights.header.version, ": pinned" if pinned else "")

    def _check_order(self, weights: Weights) -> None:
        """Never back to an older learner's weights, nor to an older version of the same one's.

        Raises:
            BadWeights: these are older than the newest that were loaded.
        """
        if self._newest is None:
            return
        fresh, held = weights.header, self._newest.weights.header
        if (fresh.epoch, fresh.version) < (held.epoch, held.version):
            raise BadWeights(
                f"version {fresh.version} of epoch {fresh.epoch} is older than {held.version} of {held.epoch}"
            )

    async def _say(self) -> None:
        """Tell the store what is served: what changed, at most once a second, and else at every look."""
        version = self.current.header.version if self.current else 0
        now, word = asyncio.get_running_loop().time(), self._complaint.line
        said = (version, self.pinned, word)
        pin_changed = self._said is None or said[1:] != self._said[1:] or (self.pinned and said != self._said)
        if not pin_changed and now - self._said_at < (
            _SAY_S if said != self._said else self._settings.poll_s
        ):
            return
        try:
            await self._scripts.run(serving_call(self._app, self._name, version, self.pinned, word))
        except redis.ResponseError as error:  # it may only read, for instance: no reason to stop
            log.warning("the store does not take what is served: %s", error)
        self._said, self._said_at = said, now

    async def _latest_notices(self) -> Seen:
        streams = (keys.weights_log(self._app), keys.model_notices(self._app))
        pipe = self._store.pipeline(transaction=False)
        for stream in streams:
            pipe.xrevrange(stream, count=1)
        replies = cast("list[list[tuple[bytes, object]]]", await pipe.execute())
        return {
            s: found[0][0] if found else _FROM_THE_START for s, found in zip(streams, replies, strict=True)
        }

    async def _wait_for_notice(self, seen: Seen) -> None:
        """Until one of the streams has something after ``seen``, or the slow poll is due."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._settings.poll_s
        while (left_ms := int((until - loop.time()) * 1000)) > 0:
            if await self._store.xread(seen, block=min(self._settings.block_ms, left_ms)):
                return


async def _decoded(record: object) -> Weights:
    """In a thread of its own: a large record takes some milliseconds, in which requests can be scored.

    Raises:
        BadWeights: no whole record.
    """
    return await asyncio.to_thread(decode_weights, record if isinstance(record, bytes) else b"")


def _delta_of(entry: _Entry) -> bytes:
    return entry[1].get(b"delta", b"")
