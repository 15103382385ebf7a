"""Tasks end when they are told to, though what they wait for forgets the telling."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from sidecar.contracts.ending import end


async def test_a_forgotten_cancellation_is_repeated():
    heard = []

    async def forgetful():
        for _ in range(3):
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            heard.append(1)
        await asyncio.Event().wait()

    tasks = [asyncio.create_task(forgetful()), asyncio.create_task(asyncio.sleep(1e9))]
    await asyncio.sleep(0)
    await asyncio.wait_for(end(*tasks), 20.0)
    assert len(heard) == 3
    assert all(task.cancelled() for task in tasks)


async def test_a_failure_of_a_task_is_its_own():
    async def failing():
        raise ValueError

    await end(asyncio.create_task(failing()))


async def test_none_have_ended():
    await end()
