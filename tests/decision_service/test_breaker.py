"""A dependency that fails is left alone, and asked by a call of our own until it answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from decision_service.breaker import Guard
from feature_graph.guards.breaker import Breaker


async def soon(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.001)


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


class Other:
    """A dependency."""

    def __init__(self) -> None:
        self.well = True
        self.asked = 0

    async def answer(self) -> None:
        self.asked += 1
        if not self.well:
            raise ConnectionError


async def test_it_opens_at_half_of_twenty_and_closes_when_a_probe_is_answered():
    """Nineteen failures are too few to tell; while it is open only the probe asks."""
    other, told = Other(), []
    other.well = False
    rule = Breaker(share=0.5, at_least=20, open_s=0.001)
    guard = Guard("store", other.answer, lambda: 0.0, lambda name, state: told.append((name, state)), rule)
    probing = asyncio.create_task(guard.keep_probing())
    for _ in range(19):
        guard.bad()
    await settled()
    assert (guard.closed, other.asked) == (True, 0)

    guard.bad()
    assert not guard.closed
    await soon(lambda: other.asked == 3)
    assert not guard.closed
    other.well = True
    await soon(lambda: guard.closed)

    assert told == [("store", 0.0), ("store", 1.0), ("store", 0.0)]
    probing.cancel()


async def test_more_good_than_bad_keeps_it_closed():
    """Half of the calls must fail."""
    guard = Guard("sidecar", Other().answer, lambda: 0.0, lambda *_: None)
    for _ in range(100):
        guard.good()
        guard.good()
        guard.bad()

    assert guard.closed
