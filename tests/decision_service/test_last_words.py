"""What a service still does when it is told to stop has its time, and no more."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from decision_service import opening

ROUNDS = 500


class Forgetful:
    """Drains a long spool; its first cancellation is lost, as the store's client library loses some."""

    def __init__(self) -> None:
        self.rounds = 0

    async def drain(self) -> bool:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        while self.rounds < ROUNDS:
            self.rounds += 1
            await asyncio.sleep(0.01)
        return True


async def test_a_spool_that_is_long_does_not_outlast_its_time(monkeypatch):
    monkeypatch.setattr(opening, "_LAST_WORD_S", 0.01)
    drainer = Forgetful()
    await opening._drain_at_last(drainer)
    assert 0 < drainer.rounds < ROUNDS
