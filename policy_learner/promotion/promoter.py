"""The models' contests in the learner: what it reads is counted, said, and where configured acted on.

The learner has it all in hand: decisions with their rewards, each once, in the order of the log. What is
known is written down together with how far into the streams it goes, and after a restart what was read since
is read again: every decision counts once. A later learner's epoch fences off the writes of an earlier one.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from typing import cast

import msgspec
import redis
from msgspec import Struct

from policy_learner.errors import Fenced
from policy_learner.failpoints import reached
from policy_learner.join.positions import ms_of, order
from policy_learner.join.source import Chunk, read_chunks
from policy_learner.join.streams import read_all_after
from policy_learner.promotion.change import in_place, promotion_of, said, successor
from policy_learner.promotion.heard import Matured
from policy_learner.promotion.ledger import Book, Ledger
from policy_learner.timing import Clock, Every
from sidecar.contracts import keys
from sidecar.contracts.application import Application
from sidecar.contracts.contests import (
    Contest,
    Promotion,
    Shown,
    decode_promotion,
    encode_promotion,
    encode_shown,
)
from sidecar.contracts.errors import BadModel
from sidecar.contracts.rostering import change_roster, read_roster
from sidecar.contracts.scripts.contests import ContestsStatus, contests_call, parse_contests
from sidecar.contracts.store import Scripts

_CLOSING = "F"
"""Kind of the entries that hold what finally came of a decision."""
_SHARE = 0.05
"""Of the learner's time, at most: with very many models it looks less often."""
_NOTICES = 1000
_SHOWN = 10
"""Promotions, the newest first."""

log = logging.getLogger("sidearm.learner")


class State(Struct):
    """What is written down."""

    positions: list[str]
    """Everything up to here is in the book; one for each partition."""
    book: Book


class Promoter:
    """Keeps the contests of one application.

    Args:
        scripts: of the store.
        application: whose models they are.
        epoch: the learner's.
        every_s: seconds between two looks.
        clock: for them.
        positions: where the learner goes on.
    """

    def __init__(
        self,
        scripts: Scripts,
        application: Application,
        epoch: int,
        every_s: float,
        clock: Clock,
        positions: Sequence[str],
    ) -> None:
        self._scripts, self._application, self._epoch = scripts, application, epoch
        self._clock, self._timer = clock, Every(every_s, clock)
        self._ledger, self._positions = Ledger(application), list(positions)
        self._promotions: list[Promotion] = []
        self._is_written = True
        self._complaint = ""
        self.shown = Shown()
        """What was written last for everybody to see."""

    def begin(self, most: int) -> None:
        """Go on from what was written down, and read again what was read since then.

        Args:
            most: entries of a partition at once.

        Raises:
            StoreError: the store is away.
        """
        client, app, wanted = self._scripts.client, self._application, self._positions
        saved = _state_of(self._stored(), len(wanted))
        self._listen(saved.book if saved else None)
        self._promotions = self._told()
        if saved is None or not self._ledger.is_needed:
            return
        self._positions = saved.positions
        while any(map(_is_before, self._positions, wanted)):
            chunks = read_chunks(partial(read_all_after, client), app, self._positions, most)
            for chunk in chunks:
                self.observe(chunk)
            for partition in set(range(len(wanted))) - {chunk.partition for chunk in chunks}:
                self._reach(partition, wanted[partition])

    def observe(self, chunk: Chunk) -> None:
        """Count the decisions of a chunk that were not counted yet."""
        before = self._positions[chunk.partition]
        if not _is_before(before, chunk.last):
            return
        self._reach(chunk.partition, chunk.last)
        if self._ledger.is_needed:
            fresh = [one for one in chunk.lessons if _is_before(before, one.entry[0])]
            closing = [one for one in fresh if one.joined.kind == _CLOSING]
            matured = [Matured(one.joined.decision, one.taught.reward) for one in closing]
            self._ledger.count(matured, ms_of(chunk.last))
            self._is_written = False

    def look(self, now: bool = False) -> None:
        """If it is time: see which models there are, write down what is known, and change what must be.

        Args:
            now: it is time: what is not written down is about to be forgotten.

        Raises:
            Fenced: a later learner runs.
            StoreError: the store is away; call again.
        """
        if not (now or self._timer.due):
            return
        begun = self._clock()
        self._timer.restart()
        self._listen()
        if not self._is_written:
            contests = self._ledger.contests()
            self._write(contests)
            if self._application.promotion.automatic:
                self._act(contests)
        self._timer.rest((self._clock() - begun) / _SHARE)

    def _listen(self, book: Book | None = None) -> None:
        """Take the roster as it is; one that cannot be read changes nothing here."""
        try:
            roster = read_roster(self._scripts.client, self._application.name)
        except (BadModel, redis.ResponseError) as error:  # something else lies there
            self._complain(f"the contests go on with the models of before: {error}")
            roster = self._ledger.roster
        self._is_written &= roster == self._ledger.roster
        self._ledger.go_on(roster, book)

    def _write(self, contests: Sequence[Contest]) -> None:
        state = msgspec.msgpack.encode(State(self._positions, self._ledger.book))
        automatic, promotions = self._application.promotion.automatic, tuple(self._promotions[:_SHOWN])
        self.shown = Shown(self._ledger.figures(), tuple(contests), automatic, promotions)
        call = contests_call(self._application.name, self._epoch, state, encode_shown(self.shown))
        try:
            status = parse_contests(self._scripts.run(call))
        except redis.ResponseError as error:
            self._complain(f"the contests are not written down: {error}")
            return
        if status is ContestsStatus.FENCED:
            raise Fenced(f"learner of epoch {self._epoch} is fenced off: a later one runs")
        self._is_written = True
        reached("contests written")

    def _act(self, contests: Sequence[Contest]) -> None:
        """Let a challenger that has won take the champion's place."""
        held = self._ledger.roster
        won = successor(contests, held)
        if won is None:
            return
        promotion = promotion_of(won, next(iter(self._promotions), None))
        evidence, app = encode_promotion(promotion), self._application.name
        try:
            change_roster(
                self._scripts,
                app,
                lambda roster: in_place(roster, won, held),
                said(promotion),
                epoch=self._epoch,
                evidence=evidence,
            )
        except (BadModel, redis.ResponseError) as error:
            self._complain(f"{won.challenger} is better than {won.champion}, but not promoted: {error}")
            return
        reached("promoted")
        log.warning("%s", said(promotion))
        self._promotions = self._told()
        self._listen()

    def _told(self) -> list[Promotion]:
        """The promotions of which there is a notice, newest first: what stands there has happened."""
        stream = keys.model_notices(self._application.name)
        try:
            found = self._scripts.client.xrevrange(stream, count=_NOTICES)
        except redis.ResponseError as error:
            self._complain(f"who was promoted before is not known: {error}")
            return []
        notices = cast("list[tuple[bytes, dict[bytes, bytes]]]", found)
        promotions = (decode_promotion(fields) for _, fields in notices)
        return [promotion for promotion in promotions if promotion is not None]

    def _stored(self) -> bytes | None:
        try:
            found = self._scripts.client.hget(keys.contests(self._application.name), "state")
        except redis.ResponseError as error:
            self._complain(f"the contests begin anew: {error}")
            return None
        return cast("bytes | None", found)

    def _complain(self, line: str) -> None:
        """Say it once, not at every look."""
        if line != self._complaint:
            self._complaint = line
            log.error("%s", line)

    def _reach(self, partition: int, position: str) -> None:
        if _is_before(self._positions[partition], position):
            self._positions[partition] = position


def _state_of(stored: bytes | None, partitions: int) -> State | None:
    """What was written down; nothing is known where that was something else."""
    try:
        state = msgspec.msgpack.decode(stored or b"", type=State)
        for position in state.positions:
            order(position)
    except ValueError:  # msgspec's errors are ValueErrors
        return None
    return state if len(state.positions) == partitions else None


def _is_before(position: str, other: str) -> bool:
    return order(position) < order(other)
