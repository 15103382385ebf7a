"""The weights in memory: follow the store, refuse what must not be served, keep the last good.

Two streams tell at once (``XREAD BLOCK``), one of new versions, one of pins (``contracts/models.py``); a slow
poll is the net below them. Most versions come as deltas onto the one before (``newest.py``). The array is
replaced by one assignment between two batches, so no request is scored with half of each.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, cast

from sidecar.contracts import keys
from sidecar.contracts.complaint import Complaint
from sidecar.contracts.errors import BadWeights
from sidecar.contracts.store import StoreError
from sidecar.contracts.weights import Weights, decode_weights
from sidecar.policy.base import BaseModel
from sidecar.server.base_store import BaseStore
from sidecar.server.deployed import Deployed
from sidecar.server.newest import Newest, Published
from sidecar.server.past import Past
from sidecar.server.settings import SidecarSettings
from sidecar.server.word import Word

if TYPE_CHECKING:
    from redis.asyncio import Redis

log = logging.getLogger("sidearm.sidecar")

_FROM_THE_START = "0-0"

Seen = dict[bytes | str | memoryview, int | bytes | str | memoryview]
"""Stream to the last position in it."""


class Wanted(NamedTuple):
    """What the store says is to be served."""

    published: Published
    """The newest."""
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
        self._app = app
        self._settings = settings
        self._base = BaseStore(store, app, base_feature)
        self._word = Word(store, app, settings.name, settings.poll_s)
        self._complaint = Complaint(log)
        self.current: Weights | None = None
        """None until the first publication: a cold start."""
        self.past = Past(settings.past_bytes)
        """What was served before it."""
        self.newest = Newest(store, app, self.past)
        self.deployed = Deployed(store, app, settings.deployed_bytes)
        """Fixed versions that score too."""
        self.pinned = False
        """Whether ``current`` is served because it was pinned."""
        self.ready = False
        """The store was asked at least once; what it holds, or that it holds nothing, is known."""
        self.swaps = 0
        self.refused = 0
        self.store_errors = 0

    @property
    def base(self) -> BaseModel | None:
        """The base model, if there is one."""
        return self._base.current

    async def follow(self) -> None:
        """Keep the weights current until cancelled; outages of the store are waited out."""
        while True:
            try:
                seen = await self._latest_notices()  # before the look, so that nothing falls between the two
                await self.refresh()
                await self._word.say(self._version, self.pinned, self._complaint.line)
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
            elif wanted.published.version is not None and (self.pinned or not self._holds(wanted.published)):
                self._swap(await self.newest.load(wanted.published), pinned=False)
        except BadWeights as error:
            self._refuse(f"weights refused: {error}; serving version {self._version or 'none: cold'}")
        try:
            await self._base.follow()
        except BadWeights as error:
            self._refuse(str(error))
        await self.deployed.follow(wanted.deployed)
        self.ready = True

    async def _look(self) -> Wanted:
        pipe = self._store.pipeline(transaction=False)
        pipe.hmget(keys.weights(self._app), "epoch", "version", "checksum")
        pipe.hget(keys.pin(self._app), "version")
        pipe.hkeys(keys.deployed(self._app))
        published, pinned, deployed = await pipe.execute()
        return Wanted(Published(*published), pinned, deployed)

    @property
    def _version(self) -> int:
        """That is served; 0: none, cold."""
        return self.current.header.version if self.current else 0

    def _holds(self, published: Published) -> bool:
        if self.current is None:
            return False
        header = self.current.header
        return published[:2] == (b"%d" % header.epoch, b"%d" % header.version)

    async def _load_pinned(self, version: bytes) -> None:
        """The version somebody pinned, however old it is.

        Raises:
            BadWeights: it is not there, not whole, or of another version than it is kept as.
        """
        if version == b"%d" % self._version:
            self.pinned = True
            return
        record = await self._store.hget(keys.model_records(self._app), version)
        # A large record takes some milliseconds, in which requests can be scored.
        weights = await asyncio.to_thread(decode_weights, cast("bytes | None", record) or b"")
        if b"%d" % weights.header.version != version:
            raise BadWeights(f"what is kept as version {version!r} is version {weights.header.version}")
        self._swap(weights, pinned=True)

    def _swap(self, weights: Weights, *, pinned: bool) -> None:
        self.current, self.pinned = weights, pinned
        self.swaps += 1
        self._complaint.over()
        level = logging.INFO if pinned or self.swaps == 1 else logging.DEBUG  # twenty a second
        log.log(level, "weights version %s loaded%s", weights.header.version, ": pinned" if pinned else "")

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

    def _refuse(self, line: str) -> None:
        self.refused += 1
        self._complaint.say(line)
