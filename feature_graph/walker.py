"""One of many runs that go side by side (:mod:`feature_graph.columns`), and how it leaves them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

from feature_graph.outcome import Status
from feature_graph.plan import Plan
from feature_graph.record import Record
from feature_graph.scope import Scope, StandIn

Failure = tuple[int, Status, BaseException, int]
Happened = tuple[int, Failure | StandIn | None]
"""A node, and what went wrong with it; None: there is no time for it."""
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
    go_on: Callable[..., Scheduled]
    """``go_on(walker, *happened)``: makes a scheduler of one run, and lets it begin with what happened."""


class Walker:
    """One run that goes on alone.

    Args:
        party: whom it leaves.
        given: what it was handed in.
        left_s: seconds that it had; None: all the time there is.
        at_s: its deadline, on the clock of the runs.
        record: what is known of it so far.

    Attributes:
        finished: done when it is over.
        rest: who carries it on.
        scope: its own.
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

    def __init__(
        self, party: Party, given: Mapping[str, object], left_s: float | None, at_s: float, record: Record
    ) -> None:
        self.party, self.given, self.left_s, self.at_s = party, given, left_s, at_s
        self.plan, self.loop, self.watching, self.record = party.plan, party.loop, party.watching, record
        record.fine = False
        self.scope = Scope(record.notes)
        self.finished: asyncio.Future[None] = party.loop.create_future()
        self.rest: Scheduled | None = None

    def goes_on(self, *happened: Happened) -> None:
        """With the scheduler, which hears of what happened."""
        self.rest = self.party.go_on(self, *happened)

    def ends(self) -> tuple[Record, Stopped]:
        """The record, and what still has to end."""
        if self.rest is None:
            return self.record, []
        record, stopped = self.rest.close()
        self.rest = None
        return record, stopped
