"""From the spool to the store, oldest first, each record exactly once in effect.

The scripts know what they have seen: a record that reached the store before its reply was lost, or before
this process died, changes nothing the second time. They remember for the application's tombstone time; a
record that is older than that might count twice, so it is kept aside and counted instead of sent.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple

from decision_service.errors import SpoolFailed, StoreAway
from decision_service.remembered import names_of
from decision_service.spool import Held, Spool
from decision_service.telemetry import Telemetry
from sidecar.contracts.spooled import SpooledKind

log = logging.getLogger("sidearm.decision_service")

BATCH = 256
_AGAIN_S, _LONGEST_S = 0.1, 2.0
"""Between two attempts at a store that is away: at first, and at most."""
_LOOK_S = 5.0
"""Between two looks for what dead processes left."""
_AFTER: tuple[SpooledKind, ...] = ("decision", "activation", "reward")
"""In this order: what names a decision comes after it."""


class Sent(NamedTuple):
    """What became of one record."""

    status: str
    """For the count; empty: it must be sent again later."""
    refused: bool = False
    """The store will never take it."""


Send = Callable[[Sequence[Held]], Awaitable[Sequence[Sent]]]
"""One outcome a record; raises StoreAway when nothing is certain."""


class Drainer:
    """Empties the spool; belongs to one event loop.

    Args:
        spool: what waits.
        senders: how each kind is sent.
        ready: brings into the store what decisions refer to.
        keep_s: how long the store remembers what it has seen.
        telemetry: is told what became of each.
    """

    def __init__(
        self,
        spool: Spool,
        senders: Mapping[SpooledKind, Send],
        ready: Callable[[], Awaitable[object]],
        keep_s: float,
        telemetry: Telemetry,
    ) -> None:
        self._spool, self._senders, self._ready = spool, senders, ready
        self._keep_ms = round(keep_s * 1000)
        self._telemetry = telemetry

    async def keep_draining(self) -> None:
        """For ever."""
        wait_s = _AGAIN_S
        while True:
            try:
                await self._wait_for_work()
                await self.adopt()
                wait_s = _AGAIN_S if await self.drain() else min(2 * wait_s, _LONGEST_S)
            except (StoreAway, SpoolFailed) as error:
                log.debug("the spool waits: %s", error)
                wait_s = min(2 * wait_s, _LONGEST_S)
            except Exception:  # a fault of ours: what was answered must not wait for the next start for it
                log.exception("the spool could not be sent, and is tried again")
                wait_s = _LONGEST_S
            if len(self._spool):
                await asyncio.sleep(wait_s)

    async def drain(self) -> bool:
        """Send until nothing waits, or what waits must wait longer (then False).

        Raises:
            StoreAway: the store does not answer.
            SpoolFailed: what was refused cannot be kept aside.
        """
        await self._ready()
        while held := self._spool.first(BATCH):
            if not await self._round(_before_a_session_moves(held)):
                return False
        return True

    async def adopt(self) -> int:
        """See to what dead processes left; how many records.

        Raises:
            SpoolFailed: the disk cannot.
        """
        if found := await self._spool.adopt():
            log.warning("%d records of processes that are gone are sent to the store", found)
        return found

    async def _wait_for_work(self) -> None:
        """Until something waits; what dead processes left is looked for meanwhile."""
        while not len(self._spool):
            if await self.adopt():
                return
            try:
                async with asyncio.timeout(_LOOK_S):
                    await self._spool.filled.wait()
            except TimeoutError:
                continue

    async def _round(self, held: Mapping[int, Held]) -> bool:
        """Send these; whether any of them is settled."""
        oldest_ms = self._spool.now_ms() - self._keep_ms
        old = [ticket for ticket, one in held.items() if one.record.at_ms < oldest_ms]
        await self._refuse(old, "too_old")
        settled = len(old)
        for kind in _AFTER:
            settled += await self._send(
                {t: one for t, one in held.items() if one.record.kind == kind and t not in old}
            )
        return settled > 0

    async def _send(self, held: Mapping[int, Held]) -> int:
        if not held:
            return 0
        kind = next(iter(held.values())).record.kind
        outcomes = dict(zip(held, await self._senders[kind](list(held.values())), strict=True))
        for sent in outcomes.values():
            self._telemetry.drained(kind, sent.status or "again")
        await self._refuse([t for t, sent in outcomes.items() if sent.refused], "")
        self._spool.settle(t for t, sent in outcomes.items() if sent.status and not sent.refused)
        return sum(1 for sent in outcomes.values() if sent.status)

    async def _refuse(self, tickets: Sequence[int], status: str) -> None:
        if not tickets:
            return
        for held in (self._spool.held(ticket) for ticket in tickets if status):
            self._telemetry.drained(held.record.kind, status)
        log.error("%d spooled records will never be sent; they are kept in the spool's folder", len(tickets))
        await self._spool.refuse(tickets)


def _before_a_session_moves(held: Mapping[int, Held]) -> dict[int, Held]:
    """As many as can be sent decisions first: a reward by session means the last one *before* the reward.

    A decision under a name that was used before is sent once more, by its id: nothing may overtake it.
    """
    done: set[str] = set()
    taken: dict[int, Held] = {}
    for ticket, one in held.items():
        if one.event is not None and one.event.session_id in done:
            break
        if one.event is not None and names_of(one.event, one.record.kept_as):
            done.add(one.event.session_id)
        if one.session:
            done.add(one.session)
        taken[ticket] = one
    return taken
