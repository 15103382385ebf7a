"""The sidecar ends, whatever its follower of the weights is about when it is told to."""

from __future__ import annotations

import asyncio
from pathlib import Path

import redis.asyncio

from sidecar.contracts import keys
from sidecar.contracts.application import load_application
from sidecar.server.app import open_server
from sidecar.server.settings import SidecarSettings

ROUNDS = 40
"""Every second one lost its cancellation while it was given once."""


async def test_it_ends_when_a_command_is_answered_in_that_moment(store_url):
    application = load_application(Path("examples/shop"))
    writer = redis.asyncio.Redis.from_url(store_url)

    async def serve_a_moment(turns: int) -> None:
        async with open_server(application, SidecarSettings(block_ms=1000), store_url):
            notice = asyncio.create_task(
                writer.xadd(keys.model_notices(application.name), {"x": 1}, maxlen=9)
            )
            for _ in range(turns):
                await asyncio.sleep(0)
        await notice

    async with asyncio.timeout(60.0):
        for turns in range(ROUNDS):
            await serve_a_moment(turns)
    await writer.aclose()
