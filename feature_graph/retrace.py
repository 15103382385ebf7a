"""A run told again from what it recorded: who waited for whom, and when all would have ended otherwise.

Outcomes, sides taken and choices tried stay as they were; only times move. What is left of the scheduler
then is a system of "starts when the last of these has settled" and "is wanted when the first of these has",
which a walk through time solves, event by event.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from feature_graph.errors import DeadlinePassed
from feature_graph.node import Branch, Derived, Each, Fetch, FirstOf, Lookup, Node
from feature_graph.outcome import Outcome, Status

if TYPE_CHECKING:
    from feature_graph.resolution import Resolution, Span

Call = Fetch | Lookup | Derived | Each
"""Nodes that take time of their own."""


@dataclass(frozen=True, slots=True)
class Story:
    """What a run recorded, in the form in which it is told again."""

    goals: tuple[str, ...]
    given: frozenset[str]
    nodes: Mapping[str, Node]
    outcomes: Mapping[str, Outcome[object]]
    spans: Mapping[str, Span]

    def is_there(self, name: str) -> bool:
        """True for what no run waits for: inputs, and nodes that were handed in."""
        return name in self.given or name not in self.nodes

    def is_stopped(self, name: str) -> bool:
        """True if it never ran because something that it needs was lost; a fallback may stand in."""
        return name not in self.spans and self.outcomes[name].root not in (None, name)

    def never_settled(self, name: str) -> bool:
        """True if the run ended it, or never began it, since nobody waited any more."""
        outcome = self.outcomes[name]
        return outcome.status in (Status.NOT_NEEDED, Status.CANCELLED) and outcome.error is None

    def met_the_deadline(self, name: str) -> bool:
        """True if the run's deadline ended it: then it ends there, whenever it began."""
        outcome = self.outcomes[name]
        return name in self.spans and isinstance(outcome.error, DeadlinePassed) and outcome.root == name


def story_of(resolution: Resolution) -> Story:
    """The story that a resolution tells."""
    spans = {span.name: span for span in resolution.timeline}
    given = frozenset(resolution.given)
    return Story(resolution.goals, given, resolution.nodes, dict(resolution.outcomes), spans)


@dataclass(slots=True)
class Course:
    """When everything happened, in seconds since the run began, and what made it happen then."""

    settled: dict[str, float] = field(default_factory=dict)
    """In the order in which nodes did."""
    started: dict[str, float] = field(default_factory=dict)
    held_by: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Nodes that had to settle before this one could."""
    cause: dict[str, str | None] = field(default_factory=dict)
    """The last of them; None: nothing but the start of the run."""
    lag_s: dict[str, float] = field(default_factory=dict)
    """Time between being ready and starting: the loop had other things to do."""

    def took_s(self, goals: Iterable[str]) -> float:
        """When the last goal settled."""
        return max((self.settled.get(goal, 0.0) for goal in goals), default=0.0)


def retrace(
    story: Story, changes_s: Mapping[str, float] | None = None, as_it_was: Course | None = None
) -> Course:
    """The course of a run.

    Args:
        story: what was recorded.
        changes_s: node to seconds that it takes longer (or, below zero, less).
        as_it_was: the course without changes: its lags are kept. Without it the recorded starts are.
    """
    return _Walk(story, changes_s or {}, as_it_was).course


class _Walk:
    """A walk through time: what settles next tells those who wait for it."""

    def __init__(self, story: Story, changes_s: Mapping[str, float], as_it_was: Course | None) -> None:
        self.course = Course()
        self._story = story
        self._changes_s = changes_s
        self._as_it_was = as_it_was
        self._waiters: dict[str, list[str]] = {}
        self._pending: dict[str, int] = {}
        self._wanted_because: dict[str, str | None] = {}
        self._next: list[tuple[float, int, str, str | None]] = []
        self._wanted = list(story.goals)
        self._demand(0.0, None)
        while self._next:
            at_s, _, name, cause = heappop(self._next)
            self._settle(name, at_s, cause)

    def _settle(self, name: str, at_s: float, cause: str | None) -> None:
        self.course.settled[name] = at_s
        self.course.cause[name] = cause
        for waiter in self._waiters.pop(name, ()):
            self._look(waiter, at_s, name)
        self._demand(at_s, name)

    def _demand(self, at_s: float, cause: str | None) -> None:
        """Call for all that is wanted, and for what that needs."""
        while self._wanted:
            name = self._wanted.pop()
            if name in self._wanted_because or self._story.is_there(name):
                continue
            self._wanted_because[name] = cause
            node = self._story.nodes[name]
            if isinstance(node, Call):
                missing = [needed for needed in _needs(node) if not self._is_settled(needed)]
                self._pending[name] = len(missing)
                for needed in missing:
                    self._want(name, needed)
            self._look(name, at_s, cause, counts=False)

    def _want(self, name: str, needed: str) -> None:
        self._waiters.setdefault(needed, []).append(name)
        self._wanted.append(needed)

    def _is_settled(self, name: str) -> bool:
        return name in self.course.settled or self._story.is_there(name)

    def _look(self, name: str, at_s: float, cause: str | None, *, counts: bool = True) -> None:
        """See what a node can do now that it is wanted, or that something it waits for has settled."""
        if name in self.course.held_by:
            return
        node = self._story.nodes[name]
        if isinstance(node, Branch):
            self._decide(node, at_s, cause)
        elif isinstance(node, FirstOf):
            self._choose(node, at_s, cause)
        elif self._story.is_stopped(name):
            lost = [needed for needed in _hard(node) if self._is_lost(needed)]
            if lost:
                self._done(name, at_s, cause, lost[:1])
        else:
            self._pending[name] -= counts
            if not self._pending[name]:
                self._start(node, at_s, cause)

    def _start(self, node: Call, at_s: float, cause: str | None) -> None:
        name, span = node.name, self._story.spans.get(node.name)
        if span is None:  # it was ready, and the deadline had passed
            self._done(name, at_s, cause, _needs(node))
            return
        if self._as_it_was is None:
            start_s = max(at_s, span.start_s)
            self.course.lag_s[name] = start_s - at_s
        else:
            start_s = at_s + self._as_it_was.lag_s.get(name, 0.0)
        self.course.started[name] = start_s
        took_s = max(0.0, span.end_s - span.start_s + self._changes_s.get(name, 0.0))
        end_s = max(start_s, span.end_s) if self._story.met_the_deadline(name) else start_s + took_s
        self._done(name, end_s, cause, _needs(node))

    def _decide(self, node: Branch, at_s: float, cause: str | None) -> None:
        side = self._story.outcomes[node.name].via
        if not self._is_settled(node.condition):
            self._want(node.name, node.condition)
        elif side is None:
            self._done(node.name, at_s, cause, (node.condition,))
        elif self._is_settled(side):
            self._done(node.name, at_s, cause, (node.condition, side))
        else:
            self._want(node.name, side)

    def _choose(self, node: FirstOf, at_s: float, cause: str | None) -> None:
        tried: list[str] = []
        for choice in node.choices:
            if not self._is_settled(choice):
                self._want(node.name, choice)
                return
            tried.append(choice)
            if self._story.outcomes[choice].has_value:
                break
        self._done(node.name, at_s, cause, tried)

    def _is_lost(self, name: str) -> bool:
        return self._is_settled(name) and not self._story.outcomes[name].has_value

    def _done(self, name: str, at_s: float, cause: str | None, held_by: Iterable[str]) -> None:
        if self._story.never_settled(name):
            return
        wanted_because = self._wanted_because[name]
        held = [*held_by, *([wanted_because] if wanted_because else [])]
        self.course.held_by[name] = tuple(dict.fromkeys(held))
        heappush(self._next, (at_s, len(self.course.held_by), name, cause))


def _needs(node: Call) -> list[str]:
    return list(dict.fromkeys(parameter.node for parameter in node.parameters))


def _hard(node: Call) -> list[str]:
    return [parameter.node for parameter in node.parameters if parameter.hard]
