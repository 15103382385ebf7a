"""Calls of the log's script: those of a lot in one round trip, begun at once and with no task.

A lot is what was decided together. Mostly the store logs all of it, which is read where its reply comes in;
whatever else it says (a key that was used before, a connection that fails, a script that it has forgotten) is
seen to by a task. While two are away, lots wait for one another.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from itertools import chain, islice
from typing import Any, NamedTuple, TypeVar, cast

from redis.exceptions import ConnectionError as StoreConnectionError
from redis.exceptions import OutOfMemoryError
from redis.exceptions import TimeoutError as StoreTimeoutError

from decision_service.batcher import Batcher
from decision_service.errors import StoreAway
from decision_service.side_by_side import in_order
from decision_service.spool import Spool
from sidecar.contracts import journal
from sidecar.contracts.keys import Keys
from sidecar.contracts.line import Said
from sidecar.contracts.lines import Asides
from sidecar.contracts.scripts.decide import Decided, DecideEntry, DecideStatus
from sidecar.contracts.store import AsyncScripts, StoreError

T = TypeVar("T")

_IN_FLIGHT = 2
"""Calls at once: while the disk takes one, another one is on its way, and the next flush is of both."""
Lot = Sequence[tuple[int, DecideEntry]]
"""Decisions that are logged together, each with its partition."""
_HEARD = frozenset({DecideStatus.OK, DecideStatus.DUP, DecideStatus.FIN})


class Limits(NamedTuple):
    """What the script is told with every call."""

    max_pending: int
    tombstone_ms: int


class _Parts(NamedTuple):
    """A lot by partition."""

    places: Sequence[Sequence[int]]
    """In the lot, of the decisions of each partition."""
    by_partition: journal.ByPartition


class LogCalls:
    """Belongs to one event loop.

    Args:
        scripts: on the store.
        keys: of each partition.
        limits: of the application.
        max_batch: most decisions in one script call.
        spool: hears of what is in the store.
    """

    def __init__(
        self, scripts: AsyncScripts, keys: Sequence[Keys], limits: Limits, max_batch: int, spool: Spool
    ) -> None:
        self._scripts, self._keys, self._limits, self._spool = scripts, keys, limits, spool
        self._away, self._asides = 0, Asides()
        self._waiting: Batcher[Lot, list[Decided]] = Batcher(
            self.log_all, max_batch=max_batch, in_flight=_IN_FLIGHT, size=len, held=self._are_away
        )

    def _are_away(self) -> bool:
        return self._away + self._waiting.calls >= _IN_FLIGHT

    def put(self, lot: Lot) -> asyncio.Future[list[Decided]]:
        """What is said of each of ``lot``, to come; ``StoreAway``: nothing is certain."""
        return self._waiting.put(lot) if self._waiting.waiting or self._are_away() else self._ask(lot)

    def _ask(self, lot: Lot) -> asyncio.Future[list[Decided]]:
        told: asyncio.Future[list[Decided]] = asyncio.get_running_loop().create_future()
        parts = self._parts(lot)
        heard = partial(self._heard, parts, told)
        journal.ask_decide_all(self._scripts, parts.by_partition, heard, *self._limits)
        self._away += 1  # not before: nobody is told where this raises
        return told

    def _heard(self, parts: _Parts, told: asyncio.Future[list[Decided]], said: Said) -> None:
        try:
            logged = journal.all_logged(said)
            answers: list[Any] | None = None if logged is None else self._noted(parts, logged)
        except Exception as error:  # a reply that nobody understands
            self._over(told, error)
            return
        if answers is None:
            self._asides.tell(self._finish(parts, said), partial(self._over, told))
        else:
            self._over(told, answers)

    def _over(self, told: asyncio.Future[list[Decided]], said: Said) -> None:
        self._away -= 1
        if told.done():  # its caller gave up or went away
            pass
        elif isinstance(said, asyncio.CancelledError):
            told.cancel()
        elif isinstance(said, BaseException):
            told.set_exception(said)
        else:
            told.set_result(cast("list[Decided]", said))
        self._waiting.look_again()

    async def log_all(self, lots: Sequence[Lot]) -> list[list[Decided]]:
        """One script call for each partition, all of them in one round trip."""
        answers = iter(await self._finish(self._parts(list(chain.from_iterable(lots)))))
        return [list(islice(answers, len(lot))) for lot in lots]

    def _parts(self, lot: Lot) -> _Parts:
        places: defaultdict[int, list[int]] = defaultdict(list)
        for place, (partition, _) in enumerate(lot):
            places[partition].append(place)
        by_partition = [(self._keys[where], [lot[place][1] for place in of]) for where, of in places.items()]
        return _Parts(list(places.values()), by_partition)

    async def _finish(self, parts: _Parts, said: Said | None = None) -> list[Any]:
        """From what the store has said, if it was asked."""
        heard = [] if said is None else [said]
        return self._noted(parts, await patiently(partial(self._decide, parts.by_partition, heard)))

    def _noted(self, parts: _Parts, told: Sequence[Sequence[Decided]]) -> list[Decided]:
        """In the lot's order; the spool need not keep what the store has."""
        answers = in_order(parts.places, told)
        self._spool.settle_decisions(one.decision_id for one in answers if one.status in _HEARD)
        return answers

    async def _decide(self, by_partition: journal.ByPartition, heard: list[Said]) -> list[list[Decided]]:
        """A store at its memory limit refuses all of a partition: its decisions are shed, not failed."""
        said = heard.pop() if heard else None
        max_pending, tombstone_ms = self._limits
        told = await journal.decide_all(
            self._scripts, by_partition, max_pending=max_pending, tombstone_ms=tombstone_ms, said=said
        )
        decided: list[list[Decided]] = []
        for (_, entries), answers in zip(by_partition, told, strict=True):
            if isinstance(answers, OutOfMemoryError):
                answers = [Decided(DecideStatus.FULL, entry.decision_id) for entry in entries]
            if isinstance(answers, StoreError):
                raise answers
            decided.append(answers)
        return decided


async def patiently(talk: Callable[[], Awaitable[T]]) -> T:
    """``talk``, once more if the connection failed: for what may be repeated, as every script may.

    Raises:
        StoreAway: the store did not answer, or refused.
    """
    try:
        try:
            return await talk()
        except (StoreConnectionError, StoreTimeoutError):
            return await talk()
    except (StoreError, OSError) as error:
        raise StoreAway(f"{type(error).__name__}: nothing was recorded for certain; try again") from error
