"""Round trips to the feature store: what is asked within a few turns of the loop, or while one is away.

It is gathered as by a :class:`~decision_service.batcher.Batcher`, and no task waits for it: a trip is written
when its turn comes, and read where its replies come in.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import NamedTuple

from decision_service.batcher import PATIENCE_TURNS
from decision_service.sources.errors import SourceAway, SourceError
from decision_service.sources.readings import Found, Known, Reading, failure, read_all
from sidecar.contracts.line import Said
from sidecar.contracts.store import AnyLines, StoreError

_TRIES = 3
"""A table's record may change under a question; three loads within one are somebody's accident."""
_CHANGING = SourceAway("the table was loaded anew again and again while it was asked")

End = Found | SourceError
Question = tuple[str, Sequence[str], "asyncio.Future[End]"]
"""A table, keys, and for whom."""


class Trip(NamedTuple):
    """A batch of questions on its way."""

    batch: Sequence[Question]
    wanted: Mapping[str, Sequence[str]]
    """Keys of each table, each once."""
    found: dict[str, End]
    tries: int


class Trips:
    """Belongs to one event loop.

    Args:
        lines: to the store.
        known: what is known of a table.
        max_batch: most questions of one trip.
        in_flight: trips under way at once.
        few: so many questions wait for no turn that may bring more; and one more trip may be under way as
            long as no more than these are.
    """

    def __init__(
        self, lines: AnyLines, known: Callable[[str], Known], *, max_batch: int, in_flight: int, few: int
    ) -> None:
        self._lines, self._known = lines, known
        self._max_batch, self._free, self._few = max_batch, in_flight, few
        self._waiting: deque[Question] = deque()
        self._under_way = 0
        self._scheduled = False
        self._seen = self._turns = 0

    def put(self, table: str, keys: Sequence[str]) -> asyncio.Future[End]:
        """What the table holds of ``keys`` to come, which may be found among what others asked for."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[End] = loop.create_future()
        self._waiting.append((table, keys, future))
        if not self._scheduled and self._may_go():
            self._schedule(loop)
        return future

    def _may_go(self) -> bool:
        if self._free > 0:
            return True
        return self._free == 0 and self._under_way + len(self._waiting) <= self._few

    def _flush(self, loop: asyncio.AbstractEventLoop) -> None:
        if len(self._waiting) > max(self._seen, self._few) and self._turns < PATIENCE_TURNS:
            self._seen, self._turns = len(self._waiting), self._turns + 1
            loop.call_soon(self._flush, loop)
            return
        self._scheduled, self._seen, self._turns = False, 0, 0
        while self._may_go() and (batch := self._take()):
            self._free -= 1
            self._under_way += len(batch)
            self._set_out(Trip(batch, _by_table(batch), {}, _TRIES))

    def _take(self) -> list[Question]:
        batch: list[Question] = []
        while self._waiting and len(batch) < self._max_batch:
            question = self._waiting.popleft()
            if not question[2].done():
                batch.append(question)
        return batch

    def _set_out(self, trip: Trip) -> None:
        """One pipeline, for what is not found yet."""
        try:
            wanted = trip.wanted.items()
            readings = [self._known(table).reading(keys) for table, keys in wanted if table not in trip.found]
            commands = [command for reading in readings for command in reading.commands]
            self._lines.ask(commands, partial(self._heard, trip, readings))
        except Exception as error:
            self._over(trip.batch, error)

    def _heard(self, trip: Trip, readings: Sequence[Reading], said: Said) -> None:
        """Tables whose record has changed since they were last seen are asked again."""
        try:
            found = trip.found | _found(readings, said)
        except BaseException as error:
            self._over(trip.batch, error)
            return
        if len(found) == len(trip.wanted):
            self._over(trip.batch, found)
        elif trip.tries == 1:
            self._over(trip.batch, dict.fromkeys(trip.wanted, _CHANGING) | found)
        else:
            self._set_out(trip._replace(found=found, tries=trip.tries - 1))

    def _over(self, batch: Sequence[Question], found: Mapping[str, End] | BaseException) -> None:
        for table, _, future in batch:
            if future.done():  # its caller gave up or went away
                continue
            if not isinstance(found, BaseException):
                future.set_result(found[table])
            elif isinstance(found, asyncio.CancelledError):
                future.cancel()
            else:
                future.set_exception(found)
        self._free += 1
        self._under_way -= len(batch)
        if self._waiting and self._free > 0 and not self._scheduled:
            self._schedule(asyncio.get_running_loop())

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        self._scheduled = True
        loop.call_soon(self._flush, loop)


def _by_table(batch: Sequence[Question]) -> dict[str, Sequence[str]]:
    """The keys of each table, each once."""
    asked: dict[str, list[Sequence[str]]] = {}
    for table, keys, _ in batch:
        asked.setdefault(table, []).append(keys)
    return {
        table: lots[0] if len(lots) == 1 else [*dict.fromkeys(chain.from_iterable(lots))]
        for table, lots in asked.items()
    }


def _found(readings: Sequence[Reading], said: Said) -> dict[str, End]:
    """By table; one whose record has changed is left out."""
    if isinstance(said, StoreError | OSError):
        return dict.fromkeys(
            [reading.known.table for reading in readings], failure(said, "the feature store")
        )
    if isinstance(said, BaseException):
        raise said
    return read_all(readings, said)
