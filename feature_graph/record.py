"""What a concurrent run writes down about its nodes, and how it reads afterwards.

Lists while the run lasts, :class:`Outcome` and :class:`Span` only where somebody looks: most nodes nobody
asks about. It refers neither to tasks nor to the loop, so that keeping a resolution keeps nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from feature_graph.node import MISSING
from feature_graph.outcome import WITH_VALUE, Outcome, Status
from feature_graph.plan import Plan
from feature_graph.resolution import DEGRADED, NOTHING, Span, is_own
from feature_graph.scope import Notes

_new = object.__new__
_OK = Status.OK  # bound once: reading it through its class costs more than the comparison


class Record(Mapping[str, Outcome[object]]):
    """Outcomes by name over arrays that are indexed as in the plan."""

    __slots__ = (
        "began_s",
        "blocked",
        "ended",
        "fine",
        "lost",
        "notes",
        "plan",
        "reasons",
        "roots",
        "started",
        "status",
        "taken",
        "values_at",
        "via",
    )

    def __init__(self, plan: Plan, given: Mapping[str, object], began_s: float) -> None:
        nothing: list[Any] = [None] * len(plan.steps)
        handed_in = [*map(given.__getitem__, plan.given)]
        self.plan = plan
        self.began_s = began_s
        self.values_at: list[object] = [*handed_in, *nothing[len(handed_in) :]]
        self.status: list[Status | None] = list(plan.status)
        self.started: list[float | None] = nothing
        self.ended: list[float | None] = nothing[:]
        self.reasons: dict[int, BaseException | None] = {}
        self.roots: dict[int, int | str] = {}
        """Index of a node of the plan, or the name of one that an earlier run knew."""
        self.taken: dict[int, int] = {}
        """Side of a branch, choice of a first_of."""
        self.via: dict[int, str] = {}
        """The same, of an earlier run."""
        self.lost: dict[int, Status] = {}
        """What became of nodes that were handed in without a value."""
        self.notes: dict[int, Mapping[str, object]] = {}
        self.blocked: dict[str, float] = {}
        self.fine = False
        """Everything gave its own value, as the engine knows without looking."""
        for index in plan.outcomes:
            self._take_over(index, self.values_at[index])

    def _take_over(self, index: int, outcome: object) -> None:
        """A given outcome is what became of that node; one without a value is still to be made known."""
        assert isinstance(outcome, Outcome)
        self.values_at[index] = outcome.value
        self.reasons[index] = outcome.error
        self.notes[index] = outcome.notes
        if outcome.root is not None:
            self.roots[index] = outcome.root
        if outcome.via is not None:
            self.via[index] = outcome.via
        if outcome.has_value:
            self.status[index] = outcome.status
        else:
            self.lost[index] = outcome.status

    def peek(self, name: str) -> object:
        """The value of a node, or MISSING; without an outcome, which most readers do not ask for."""
        index = self.plan.index.get(name)
        if index is None or self.status[index] not in WITH_VALUE:
            return MISSING
        return self.values_at[index]

    def outcome(self, index: int) -> Outcome[object]:
        """What became of a node, as far as is known."""
        outcome: Outcome[object] = _new(Outcome)
        # As Outcome(...) would, which sets its frozen fields one by one at twice the cost of all the rest.
        outcome.__dict__.update(
            status=self.status[index] or Status.NOT_NEEDED,
            value=self.values_at[index],
            error=self.reasons.get(index),
            root=self._name(self.roots.get(index)),
            via=self._name(self.taken.get(index, self.via.get(index))),
            notes=self.notes.get(index, NOTHING),
        )
        return outcome

    @property
    def whole(self) -> bool:
        """Whether all that ran gave their own value, and none that was handed in was made of a stand-in."""
        if self.fine:
            return True
        for status in self.status:
            if status is not _OK and not is_own(status):
                return False
        return not any(DEGRADED in told for told in self.notes.values())

    def forget_stand_ins(self) -> None:
        """The run is over: the notes are kept, and what stood by goes."""
        for told in list(self.notes.values()):  # a thread may still add its own
            if isinstance(told, Notes):
                told.stand_in = None

    def tell(self, index: int, notes: Mapping[str, object]) -> None:
        """Add to what a node tells."""
        if notes:
            told = self.notes.get(index)
            if isinstance(told, Notes):
                told.update(notes)
            else:
                self.notes[index] = Notes(notes)

    def hold(self, name: str, took_s: float) -> None:
        """A node held the loop."""
        self.blocked[name] = self.blocked.get(name, 0.0) + took_s

    def loss(self, index: int) -> tuple[int, Status, BaseException | None, int | str]:
        """What became of a node that was handed in without a value."""
        return index, self.lost[index], self.reasons.get(index), self.roots.get(index, index)

    def _name(self, node: int | str | None) -> str | None:
        return self.plan.steps[node].name if isinstance(node, int) else node

    def spans(self) -> list[Span]:
        """Times of the nodes that began."""
        rows = zip(self.plan.steps, self.started, self.ended, self.status, strict=True)
        return [
            Span(
                step.name,
                start - self.began_s,
                end - self.began_s,
                status,
                self.notes.get(step.index, NOTHING),
            )
            for step, start, end, status in rows
            if start is not None and end is not None and status is not None
        ]

    def __getitem__(self, name: str) -> Outcome[object]:
        return self.outcome(self.plan.index[name])

    def __contains__(self, name: object) -> bool:
        return name in self.plan.index

    def __iter__(self) -> Iterator[str]:
        return iter(self.plan.index)

    def __len__(self) -> int:
        return len(self.plan.index)
