"""What is changed in the store is followed at once, by every replica, whatever becomes of the store."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from decision_service.explorer import Explorer
from decision_service.notices import follow
from sidecar.contracts import keys
from sidecar.contracts.application import Exploration, ExplorationConfig
from sidecar.contracts.exploring import Exploring, Segment
from sidecar.contracts.exploring_store import change_exploring
from sidecar.contracts.store import AsyncScripts, Scripts, StoreError, connect_reader_async

APP = "shop"
BLOCK_MS = 100


class Replica:
    """One that follows how the application explores."""

    def __init__(self, reader):
        self.explorer = Explorer(AsyncScripts.on(reader), APP, Exploration(), {})
        self.looked = asyncio.Event()

    async def refresh(self):
        await self.explorer.refresh()
        self.looked.set()

    async def reach(self, revision):
        """Wait for it: less than the slow poll takes."""
        async with asyncio.timeout(4.0):
            while self.explorer.current.revision < revision:
                self.looked.clear()
                await self.looked.wait()


@asynccontextmanager
async def following(store_url, refresh=None):
    reader = connect_reader_async(store_url, block_s=BLOCK_MS / 1000)
    replica = Replica(reader)
    task = asyncio.create_task(follow(reader, APP, refresh or replica.refresh, BLOCK_MS))
    try:
        yield replica
    finally:
        while not task.done():  # a read whose answer comes in that very moment goes on
            task.cancel()
            await asyncio.wait([task], timeout=0.1)
        await reader.aclose()


async def test_every_replica_follows_a_notice(store, store_url):
    """The same document, whole; what they knew before is gone."""
    scripts = Scripts.on(store)
    async with following(store_url) as one, following(store_url) as two:
        for epsilon in (0.3, 0.4):
            wanted = ExplorationConfig(epsilon=epsilon)
            done = change_exploring(
                scripts, APP, lambda now, c=wanted: Exploring(c, (Segment(name="a"),), now.revision), "test"
            )
            for each in (one, two):
                await each.reach(done.revision)
                assert each.explorer.current == done
                assert each.explorer.found({}, "u").exploration == wanted.as_logged()


async def test_a_look_that_fails_is_made_again(store_url):
    """After a moment, for ever."""
    looks, done = [], asyncio.Event()

    async def refresh():
        looks.append(None)
        if len(looks) < 3:
            raise StoreError("away")
        done.set()

    async with following(store_url, refresh), asyncio.timeout(4.0):
        await done.wait()


@pytest.mark.parametrize("key", ["notices", "explore"])
async def test_foreign_bytes_under_a_key_end_nothing(store, store_url, key):
    """Under that of the notices it is polled; under that of the document what is in memory stays."""
    at = {"notices": keys.model_notices(APP), "explore": keys.exploring(APP)}[key]
    store.set(at, b"foreign")
    async with following(store_url) as one, asyncio.timeout(4.0):
        await one.looked.wait()
        store.delete(at)
        done = change_exploring(Scripts.on(store), APP, lambda now: now, "test")
        await one.reach(done.revision)


async def test_what_cannot_be_read_is_told_each_time_it_begins(store, store_url, caplog):
    """Mended as it was and broken the same way again: that is news."""
    reader, where = connect_reader_async(store_url, block_s=BLOCK_MS / 1000), keys.exploring(APP)
    explorer = Explorer(AsyncScripts.on(reader), APP, Exploration(), {})
    try:
        for _ in range(2):
            store.set(where, b"of another kind")
            for _ in range(3):
                await explorer.refresh()
            store.delete(where)
            await explorer.refresh()
    finally:
        await reader.aclose()
    assert caplog.text.count("cannot be read") == 2
