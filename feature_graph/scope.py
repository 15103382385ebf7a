"""What a fetch may say to the run that it works for: facts worth keeping, tasks to see ended, stand-ins.

All of it is optional and does nothing outside a run, so that a fetch stays an ordinary function.
"""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class StandIn:
    """Returned by a fetch whose value is no observation: its status becomes ``fallback``.

    A stale cache entry is one, and so is a list some of whose elements fell back.
    """

    value: object
    reason: BaseException | None = None
    """Why the real value is not there."""


@dataclass(slots=True)
class Scope:
    """The part of a run that its fetches can reach."""

    adopted: list[tuple[str, asyncio.Task[Any]]] = field(default_factory=list)
    """Tasks that fetches started for themselves; the run sees them ended before it answers."""
    batches: dict[object, Any] = field(default_factory=dict)
    """Batches that gather keys, by source."""


class Notes(dict[str, object]):
    """Facts about one fetch, as it tells them; kept in :attr:`feature_graph.Outcome.notes`."""

    __slots__ = ("stand_in",)

    def __init__(self) -> None:
        super().__init__()
        self.stand_in: StandIn | None = None


current_scope: ContextVar[Scope | None] = ContextVar("feature_graph_scope", default=None)
current_notes: ContextVar[Notes | None] = ContextVar("feature_graph_notes", default=None)


def note(**facts: object) -> None:
    """Add facts to the outcome of the fetch that asks: attempts made, rows read, age of a cached value."""
    notes = current_notes.get()
    if notes is not None:
        notes.update(facts)


def stand_by(stand_in: StandIn) -> None:
    """Have a value ready in case this fetch fails or times out; it goes before the declared fallback."""
    notes = current_notes.get()
    if notes is not None:
        notes.stand_in = stand_in


def adopt(name: str, task: asyncio.Task[Any]) -> None:
    """Hand the run a task that a fetch started: it is cancelled and seen ended before the run answers."""
    scope = current_scope.get()
    if scope is not None:
        scope.adopted.append((name, task))
