"""One of many runs that go side by side (:mod:`feature_graph.columns`), and how it leaves them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from math import inf
from typing import NamedTuple, Protocol

from feature_graph.outcome import Status
from feature_graph.plan import Plan
from feature_graph.reasons import without_our_frames
from feature_graph.record import Record
from feature_graph.scope import Scope, StandIn

_FAILED = Status.FAILED

Failure = tuple[int, Status, BaseException, int]
Stopped = list[tuple[str, asyncio.Task[None]]]


class Scheduled(Protocol):
    """A run that goes on alone."""

    def close(self) -> tuple[Record, Stopped]:
        """The end of it."""


class Party(NamedTuple):
    """What all runs have in common."""

    plan: Plan
    loop: asyncio.AbstractEventLoop
    clock: Callable[[], float]
    """Of the loop."""
    watching: bool
    """Whether each step of a fetch of one that goes on alone is timed."""
    go_on: Callable[[Walker, int, Failure | StandIn | None], Scheduled]
    """Makes a scheduler of one run, and lets it begin with what happened to the node of that index."""


class Walker:
    """One run.

    Attributes:
        record: what it wrote down.
        at_s: its deadline, on the clock of the runs.
        finished: if it goes on alone, done when that is over.
        rest: who carries it on then.
        scope: its own then.
    """

    __slots__ = (
        "at_s",
        "finished",
        "given",
        "left_s",
        "loop",
        "party",
        "plan",
        "record",
        "rest",
        "scope",
        "watching",
    )

    def __init__(self, party: Party, given: Mapping[str, object], left_s: float | None, now: float) -> None:
        self.party, self.given, self.left_s = party, given, left_s
        self.plan, self.loop, self.watching = party.plan, party.loop, party.watching
        self.at_s = inf if left_s is None else now + left_s
        self.record = Record(party.plan, given, now)
        self.scope: Scope
        self.finished: asyncio.Future[None]
        self.rest: Scheduled | None = None

    def may_begin(self, now: float) -> bool:
        """Whether there is time left for a fetch."""
        return now < self.at_s and (self.left_s is None or self.left_s > 0.0)

    def goes_alone(self, index: int, what: Failure | StandIn | None) -> None:
        """Go on with the scheduler, which hears of what happened to a node; None: there is no time for it."""
        self.scope = Scope(self.record.notes)
        self.finished = self.loop.create_future()
        self.rest = self.party.go_on(self, index, what)

    def fails(self, index: int, status: Status, error: BaseException) -> None:
        """A node gave no value."""
        self.record.ended[index] = self.party.clock()
        self.goes_alone(index, (index, status, error, index))

    def raised(self, index: int, error: BaseException) -> None:
        """A node was called, and raised."""
        self.fails(index, _FAILED, without_our_frames(error))

    def ends(self) -> tuple[Record, Stopped]:
        """The record, and what still has to end."""
        if self.rest is None:
            return self.record, []
        record, stopped = self.rest.close()
        self.rest = None
        return record, stopped
