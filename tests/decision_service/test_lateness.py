"""Whoever waits is given up at their time, whoever else waits, and nobody is kept for long."""

from __future__ import annotations

import asyncio

import pytest

from decision_service.batcher import within
from decision_service.lateness import Lateness


async def test_each_is_given_up_at_its_own_time() -> None:
    """The one that was asked for last may be the first."""
    loop = asyncio.get_running_loop()
    lateness, ended = Lateness(loop), []
    waits = {name: loop.create_future() for name in ("long", "short", "none")}
    for (name, future), after_s in zip(waits.items(), (0.05, 0.01, 0.0), strict=True):
        future.add_done_callback(lambda _, name=name: ended.append(name))
        lateness.give_up(future, after_s)
    done, _ = await asyncio.wait(waits.values(), timeout=5.0)
    assert len(done) == 3
    assert all(isinstance(future.exception(), TimeoutError) for future in done)
    assert ended == ["none", "short", "long"]


async def test_who_was_answered_keeps_the_answer() -> None:
    """And is forgotten when half of those that are held were answered."""
    loop = asyncio.get_running_loop()
    lateness = Lateness(loop)
    for number in range(5_000):
        future = loop.create_future()
        lateness.give_up(future, 3_600.0)
        future.set_result(number)
        assert await within(future, 1.0) == number
    assert len(lateness._heap) <= 1_025


async def test_nobody_waits_for_what_has_no_time() -> None:
    """At once, and for what is late likewise."""
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    with pytest.raises(TimeoutError):
        await within(future, 0.0)
