"""What a run found: a value or a reason for every goal, and when everything happened."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Container, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain
from typing import Any, Final, NamedTuple, TypeVar, overload

from feature_graph import waterfall
from feature_graph.errors import BadRun, NoValue, ResolutionError
from feature_graph.node import MISSING, Branch, Derived, Fetch, FirstOf, Node, edges_of
from feature_graph.outcome import Outcome, Status
from feature_graph.what_if import critical_path

T = TypeVar("T")
NOTHING: Final[Mapping[str, Any]] = {}
DEGRADED: Final = "degraded"
"""The note of a settled value: the nodes behind it that did not give their own."""
_NOT_NEEDED: Outcome[object] = Outcome(Status.NOT_NEEDED)


class Span(NamedTuple):
    """One node's time, in seconds since the run began."""

    name: str
    start_s: float
    end_s: float
    status: Status
    notes: Mapping[str, object] = NOTHING
    """What the fetch told of itself: attempts, hedge, batch, …"""


class Resolution:
    """The answer of one run; read-only.

    Attributes:
        goals: what was asked for.
        outcomes: name to :class:`Outcome`, for every node of the graph and every input that was read.
        timeline: a span for every node that began, in the order in which they did.
        abandoned: fetches that resisted their cancellation beyond the grace and may still be running.
        blocked: node to the seconds for which it held the event loop and everything else waited: more than
            10 ms at a time is more than a derived node or a step of a fetch may take. Derived nodes are
            always timed, the steps of fetches in a graph's first run and in every 16th after it.
        nodes: the graph that was run.
        given: names whose value or outcome the caller handed in, as far as they were read.
        deadline_s: seconds that the run had; None if it had for ever.
    """

    __slots__ = (
        "_degraded",
        "_peek",
        "_spans",
        "_whole",
        "abandoned",
        "blocked",
        "deadline_s",
        "given",
        "goals",
        "nodes",
        "outcomes",
    )

    def __init__(
        self,
        goals: tuple[str, ...],
        nodes: Mapping[str, Node],
        outcomes: Mapping[str, Outcome[object]],
        spans: Callable[[], Iterable[Span]],
        abandoned: tuple[str, ...] = (),
        blocked: Mapping[str, float] = NOTHING,
        given: tuple[str, ...] = (),
        deadline_s: float | None = None,
        peek: Callable[[str], object] | None = None,
        fine: bool = False,
    ) -> None:
        self.blocked = blocked
        self.given = given
        self.deadline_s = deadline_s
        self.goals = goals
        self.outcomes = outcomes
        self.abandoned = abandoned
        self.nodes = nodes
        self._spans = spans
        self._peek = peek
        self._degraded: dict[str, tuple[str, ...]] = {}
        self._whole: bool | None = fine or None  # the engine may know without looking

    def __getitem__(self, name: str) -> object:
        """The value of a goal, or of any node that has one.

        Raises:
            NoValue: it has none; the message says why.
        """
        value = self.get(name, MISSING)
        if value is MISSING:
            outcome = self.outcomes[name]
            raise NoValue(f"{name!r} has no value: {outcome.describe()}") from outcome.error
        return value

    @overload
    def value_of(self, function: Callable[..., Awaitable[T]]) -> T: ...
    @overload
    def value_of(self, function: Callable[..., T]) -> T: ...
    def value_of(self, function: Callable[..., Any]) -> Any:
        """The value of the node that ``function`` is, with the type that a checker knows it to have.

        Raises:
            BadRun: no node of the graph is this function, or several are.
            NoValue: it has none; the message says why.
        """
        name = getattr(function, "__name__", "")
        if not _is(self.nodes.get(name), function):
            names = [each for each, node in self.nodes.items() if _is(node, function)]
            if len(names) != 1:
                what = f"it is {', '.join(map(repr, names))}" if names else "no node of this graph is it"
                raise BadRun(f"{function!r} does not name one node: {what}; legal: found[name]")
            name = names[0]
        return self[name]

    def get(self, name: str, default: object = None) -> object:
        """The value, or ``default`` where there is none."""
        if self._peek is not None and (value := self._peek(name)) is not MISSING:
            return value
        outcome = self.outcomes[name]
        return outcome.value if outcome.has_value else default

    @property
    def values(self) -> dict[str, object]:
        """Goal to value, for the goals that have one."""
        found = {goal: self.get(goal, MISSING) for goal in self.goals}
        return {goal: value for goal, value in found.items() if value is not MISSING}

    @property
    def statuses(self) -> dict[str, str]:
        """Goal to how it was had (``ok``, ``fallback``, …): what a decision log keeps."""
        return {goal: self.outcomes[goal].status.value for goal in self.goals}

    @property
    def settled(self) -> dict[str, Outcome[object]]:
        """What became of every node that came to an end; a second run that is given it goes on from there.

        A value that was made of a stand-in brings a note of it, for the second run does not see behind it.
        """
        known = self.outcomes.known if isinstance(self.outcomes, Outcomes) else self.outcomes
        ended = ((name, self.outcomes[name]) for name in known if name in self.nodes)
        found = {name: outcome for name, outcome in ended if outcome.has_value or outcome.error is not None}
        return found if self.whole else {name: self._noted(name, outcome) for name, outcome in found.items()}

    def carried(self, names: Iterable[str], goals: Container[str] = ()) -> dict[str, object]:
        """What a second run needs of ``names``, at less cost than all of :attr:`settled`.

        As long as nothing is degraded, plain values, but for those that are ``goals`` of the second run too,
        which shall hear how each was had; nothing of a node that never ran.
        """
        if self._peek is None or not self.whole:
            settled = self.settled
            return {name: settled[name] for name in names if name in settled}
        values = ((name, self._peek(name)) for name in names)
        return {
            name: self.outcomes[name] if name in goals else value
            for name, value in values
            if value is not MISSING
        }

    def had(self, name: str) -> tuple[Status, object]:
        """How a value was had, and the value: MISSING where there is none.

        What was made of a stand-in is a ``fallback`` here, whatever the node itself says.
        """
        if self.whole and self._peek is not None and (value := self._peek(name)) is not MISSING:
            return (Status.GIVEN if self._is_given(name) else Status.OK), value
        outcome = self.outcomes[name]
        if not outcome.has_value:
            return outcome.status, MISSING
        return (Status.FALLBACK if self.degraded(name) else outcome.status), outcome.value

    def plainly(self, names: Iterable[str]) -> list[object] | None:
        """The values of ``names`` where each ran, and all that ran gave their own; None: ask :meth:`had`."""
        peek = self._peek
        if peek is None or not self.whole:
            return None
        given, values = self.given, []
        for name in names:
            value = peek(name)
            if value is MISSING or name in given:
                return None
            values.append(value)
        return values

    def _is_given(self, name: str) -> bool:
        return name in self.given and self.outcomes[name].status is Status.GIVEN

    @property
    def whole(self) -> bool:
        """True if every node that ran gave its own value, so that nothing is degraded."""
        if self._whole is None:
            outcomes = self.outcomes
            self._whole = outcomes.whole if isinstance(outcomes, Outcomes) else all_own(outcomes.values())
        return self._whole

    @property
    def timeline(self) -> list[Span]:
        """Spans in the order of their start."""
        return sorted(self._spans(), key=lambda span: (span.start_s, span.end_s))

    def degraded(self, name: str) -> tuple[str, ...]:
        """Nodes behind ``name`` that did not give their own value, though ``name`` may be ``ok``.

        Those are fallbacks, dependencies whose default was used, and first_ofs that had to go past their
        first choice. A learner that sees a derived feature without this takes a stand-in for an observation.
        """
        if self.whole:
            return ()
        found, stack = self._degraded, [name]
        while stack:
            node = stack[-1]
            sides = self._sides(node) if node not in found else []
            if ahead := [side for side in sides if side not in found]:
                stack += ahead
                continue
            if node not in found:
                behind = [self._own_stand_ins(node), *(found[side] for side in sides)]
                found[node] = tuple(dict.fromkeys(chain.from_iterable(behind)))
            stack.pop()
        return found[name]

    def _own_stand_ins(self, name: str) -> tuple[str, ...]:
        """The node, if it stands in for what should be there; those behind it of which it brings a note."""
        outcome = self.outcomes[name]
        if outcome.status is Status.GIVEN:
            return ()
        if name in self.given and outcome.status is Status.OK:
            return _behind(outcome)
        node = self.nodes[name]
        return (name,) if not isinstance(node, Branch) and self._stands_in(node, outcome) else ()

    def _sides(self, name: str) -> list[str]:
        """What the value of a node was made of."""
        outcome = self.outcomes[name]
        is_own = outcome.status is Status.OK and name not in self.given
        if not (is_own or outcome.status is Status.FALLBACK):
            return []
        return [side for side in self._read_by(self.nodes[name], outcome) if side in self.outcomes]

    def _noted(self, name: str, outcome: Outcome[object]) -> Outcome[object]:
        behind = self.degraded(name) if outcome.status is Status.OK else ()
        return replace(outcome, notes={**outcome.notes, DEGRADED: behind}) if behind else outcome

    def waterfall(self, width: int | None = None, *, columns: int = 80, colour: bool = False) -> str:
        """The timeline drawn for a terminal, a line a node; see :func:`feature_graph.waterfall.draw`."""
        critical = frozenset(leg.name for leg in critical_path(self))
        spans = self.timeline
        waiting = frozenset(
            span.name for span in spans if isinstance(self.nodes.get(span.name), Branch | FirstOf)
        )
        marks = waterfall.Marks(critical, waiting, self.blocked, self.deadline_s)
        return waterfall.draw(spans, width, columns=columns, marks=marks, colour=colour)

    def __repr__(self) -> str:
        told = ", ".join(f"{goal}={status}" for goal, status in self.statuses.items())
        return f"Resolution({told})"

    @staticmethod
    def _stands_in(node: Node, outcome: Outcome[object]) -> bool:
        if isinstance(node, FirstOf):
            return outcome.via != node.choices[0]
        return outcome.status is not Status.OK

    @staticmethod
    def _read_by(node: Node, outcome: Outcome[object]) -> list[str]:
        if isinstance(node, Branch):
            return [node.condition, *([outcome.via] if outcome.via else [])]
        if isinstance(node, FirstOf):
            return [outcome.via] if outcome.via else []
        return [] if outcome.status is Status.FALLBACK else [edge.to for edge in edges_of(node)]


def all_own(outcomes: Iterable[Outcome[object]]) -> bool:
    """Whether all that ran gave their own value, and none that was handed in brings a note of a stand-in."""
    return all(is_own(outcome.status) and not _behind(outcome) for outcome in outcomes)


def is_own(status: Status | None) -> bool:
    """Whether a node of that status gave its own value, or was not needed to give any."""
    return status is Status.OK or status is None or status is Status.GIVEN or status is Status.NOT_NEEDED


def _behind(outcome: Outcome[object]) -> tuple[str, ...]:
    behind = outcome.notes.get(DEGRADED, ())
    return behind if isinstance(behind, tuple) else ()


def _is(node: Node | None, function: Callable[..., Any]) -> bool:
    return isinstance(node, Fetch | Derived) and node.function == function


class Outcomes(Mapping[str, Outcome[object]]):
    """Outcomes of the nodes a run knew about, ``not_needed`` for the rest of the graph."""

    __slots__ = ("_known", "_made", "_nodes", "_whole")

    def __init__(self, nodes: Mapping[str, Node], known: Mapping[str, Outcome[object]]) -> None:
        self._nodes = nodes
        self._known = known
        self._made: dict[str, Outcome[object]] = {}
        self._whole: bool | None = None

    def __getitem__(self, name: str) -> Outcome[object]:
        outcome = self._made.get(name)
        if outcome is None:
            outcome = self._made[name] = self._make(name)
        return outcome

    def _make(self, name: str) -> Outcome[object]:
        if name in self._known:
            return self._known[name]
        if name not in self._nodes:
            raise KeyError(name)
        return _NOT_NEEDED

    @property
    def known(self) -> Mapping[str, Outcome[object]]:
        """Those of the nodes and inputs that the run knew about."""
        return self._known

    @property
    def whole(self) -> bool:
        """True if every node that ran gave its own value."""
        if self._whole is None:
            whole = getattr(self._known, "whole", None)  # an engine may know without making them all
            self._whole = whole if isinstance(whole, bool) else all_own(self._known.values())
        return self._whole

    def __iter__(self) -> Iterator[str]:
        yield from self._nodes
        yield from (name for name in self._known if name not in self._nodes)

    def __len__(self) -> int:
        return len(self._nodes) + sum(1 for name in self._known if name not in self._nodes)

    def __repr__(self) -> str:
        return f"{{{', '.join(f'{name}: {outcome.status.value}' for name, outcome in self.items())}}}"


def check_required(resolution: Resolution, required: frozenset[str]) -> Resolution:
    """The resolution itself, or :class:`ResolutionError` for the first required goal that has no value."""
    outcomes = {goal: resolution.outcomes[goal] for goal in resolution.goals if goal in required}
    missing = [goal for goal, outcome in outcomes.items() if not outcome.has_value]
    if not missing:
        return resolution

    def is_not_to_blame(goal: str) -> tuple[bool, bool]:
        """A run that ends at its first failure leaves other goals not needed, or cancelled."""
        outcome = outcomes[goal]
        return outcome.error is None, outcome.status in (Status.NOT_NEEDED, Status.CANCELLED)

    goal = min(missing, key=is_not_to_blame)
    message = f"the required goal {goal!r} has no value: {outcomes[goal].describe()}"
    raise ResolutionError(message, goal, resolution) from outcomes[goal].error
