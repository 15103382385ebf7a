"""What a fetch may say to the run that it works for: facts worth keeping, tasks to see ended, stand-ins.

All of it is optional and does nothing outside a run, so that a fetch stays an ordinary function.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from math import inf
from time import monotonic
from typing import Any

from feature_graph.deadline import Call, current_call


@dataclass(frozen=True, slots=True)
class StandIn:
    """Returned by a fetch whose value is no observation: its status becomes ``fallback``.

    A stale cache entry is one, and so is a list some of whose elements fell back.
    """

    value: object
    reason: BaseException | None = None
    """Why the real value is not there."""
    notes: Mapping[str, object] = field(default_factory=dict, compare=False)
    """To be told with it."""

    def __post_init__(self) -> None:
        """One in another is one: what a nested run stood in with is handed on as it was."""
        inner = self.value
        if isinstance(inner, StandIn):
            object.__setattr__(self, "value", inner.value)
            object.__setattr__(self, "reason", self.reason or inner.reason)
            object.__setattr__(self, "notes", {**inner.notes, **self.notes})


class Notes(dict[str, object]):
    """Facts about one fetch, as it tells them; kept in :attr:`feature_graph.Outcome.notes`."""

    stand_in: StandIn | Callable[[BaseException | None], StandIn] | None = None


class Scope:
    """The part of a run that its fetches can reach.

    Attributes:
        notes: what each teller told; a fetch tells under its index in the plan.
        adopted: tasks that fetches started for themselves; the run sees them ended before it answers.
        tasks: its fetches that have not ended.
        batches: what :mod:`feature_graph.batching` gathers for it.
        apart: the last who tells by itself; below zero, where no node of a plan is.
        closed: the run is over, and nothing new may begin.
    """

    __slots__ = ("adopted", "apart", "batches", "closed", "notes", "tasks")

    def __init__(self, notes: dict[int, Mapping[str, object]] | None = None) -> None:
        self.notes = {} if notes is None else notes
        self.adopted: list[tuple[str, asyncio.Task[Any]]] = []
        self.tasks: dict[int, asyncio.Task[None]] = {}
        self.batches: Any = None
        self.apart = 0
        self.closed = False

    def forget(self) -> None:
        """The run is over, and has taken what it still has to wait for."""
        self.adopted.clear()
        if self.batches is not None:
            self.batches.close()
            self.batches = None

    def can_move(self) -> bool:
        """True if a task of the run will be stepped without anything coming from outside."""
        adopted = (task for _, task in self.adopted)
        return any(map(_is_runnable, self.tasks.values())) or any(map(_is_runnable, adopted))


current_scope: ContextVar[Scope | None] = ContextVar("feature_graph_scope", default=None)


def enter(scope: Scope, call: Call) -> None:
    """Let what runs in this context from now on be of ``scope``, and of that call."""
    current_scope.set(scope)
    current_call.set(call)


def note(**facts: object) -> None:
    """Add facts to the outcome of the fetch that asks: attempts made, rows read, age of a cached value."""
    notes = notes_here()
    if notes is not None:
        notes.update(facts)


def stand_by(stand_in: StandIn | Callable[[BaseException | None], StandIn]) -> None:
    """Have a value ready, or a function of the error that makes it, in case this fetch fails or times out.

    It goes before the declared fallback.
    """
    notes = notes_here()
    if notes is not None:
        notes.stand_in = stand_in


def notes_here() -> Notes | None:
    """Where the fetch that asks tells what it has to tell; None outside a run.

    Made when it is asked for: most fetches tell nothing.
    """
    scope, call = current_scope.get(), current_call.get()
    if scope is None:
        return None
    teller = 0 if call is None else call[2]
    notes = scope.notes.get(teller)
    if not isinstance(notes, Notes):
        notes = scope.notes[teller] = Notes()
    return notes


def tell_apart() -> Notes:
    """Let what runs in this context from now on tell by itself: an element of a list, a call of a batch."""
    notes = Notes()
    scope, call = current_scope.get(), current_call.get()
    if scope is not None:
        scope.apart -= 1
        scope.notes[scope.apart] = notes
        clock, at_s, _ = call or (monotonic, inf, 0)
        current_call.set((clock, at_s, scope.apart))
    return notes


def adopt(name: str, task: asyncio.Task[Any]) -> None:
    """Hand the run a task that a fetch started: it is cancelled and seen ended before the run answers."""
    scope = current_scope.get()
    if scope is not None:
        scope.adopted.append((name, task))


def _is_runnable(task: asyncio.Task[Any]) -> bool:
    # What a task waits for is told by CPython's own attribute and by no public one; a task class without it
    # always looks as if it could move, and then only patience ends the gathering of a batch.
    waits_for = getattr(task, "_fut_waiter", None)
    return not task.done() and (waits_for is None or waits_for.done())
