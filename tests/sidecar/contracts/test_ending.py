"""Tasks end when they are told to, though what they wait for forgets the telling."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from sidecar.contracts.ending import at_most, end


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


async def test_what_is_done_in_time_is_done():
    await at_most(20.0, asyncio.sleep(0))


async def test_what_fails_in_time_has_failed():
    async def failing():
        raise ValueError("bad")

    with pytest.raises(ValueError, match="bad"):
        await at_most(20.0, failing())


async def test_time_is_over_though_it_was_forgotten():
    heard = []

    async def forgetful():
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        heard.append(1)
        await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await at_most(0.01, forgetful())
    assert heard
