"""What many runs of one plan found out: a column of values a node, and an account of what happened when.

Nearly all runs go well, and nobody asks for more than the values of a few nodes. So nothing is written down
for a run by itself: who looks closer, or has to go on alone, is given its :class:`Record` then.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from feature_graph.node import MISSING
from feature_graph.outcome import Outcome, Status
from feature_graph.plan import Plan
from feature_graph.record import Record
from feature_graph.resolution import NOTHING, Span

_OK = Status.OK
Rows = Sequence[int]
"""Runs, by their places in the sheet. As many as there are: all of them, in their order."""


Entry = tuple[int, Rows, float | None, float | None, int, Mapping[str, object] | None]
"""What happened to a node, for some of the runs: when it began and ended, the side that a branch took (below
zero: none), and what a fetch told. A plain tuple: there is one for every step."""


class Sheet:
    """Of one call.

    Args:
        plan: of all runs.
        givens: of each run.
        common: what all of them are given.
        began_s: on the clock of the runs.

    Attributes:
        columns: node to its values, an entry a run, MISSING where it has none; None: nobody has one yet.
        entries: an account of what happened.
        size: how many runs.
    """

    __slots__ = ("_blocked", "_common", "_givens", "began_s", "columns", "entries", "plan", "size")

    def __init__(
        self,
        plan: Plan,
        givens: Sequence[Mapping[str, object]],
        common: Mapping[str, object],
        began_s: float,
    ) -> None:
        self.plan, self.size, self.began_s = plan, len(givens), began_s
        self._givens, self._common = givens, common
        self.entries: list[Entry] = []
        self._blocked: dict[int, dict[str, float]] = {}
        self.columns: list[list[Any] | None] = [
            [common[name]] * self.size if name in common else [one[name] for one in givens]
            for name in plan.given
        ]
        self.columns += [None] * (len(plan.steps) - len(plan.given))
        for index in plan.outcomes:
            self.columns[index] = [outcome.value for outcome in self.columns[index] or ()]

    def lacking(self, node: int, rows: Rows) -> Rows:
        """Those of ``rows`` that have no value of ``node`` yet."""
        column = self.columns[node]
        return rows if column is None else [row for row in rows if column[row] is MISSING]

    def read(self, column: list[Any] | None, rows: Rows) -> list[Any]:
        """A column's entries of ``rows``."""
        assert column is not None
        return column if len(rows) == self.size else [column[row] for row in rows]

    def write(self, node: int, rows: Rows, values: list[Any]) -> None:
        """Set the values of ``rows``; the list is kept."""
        if len(rows) == self.size:
            self.columns[node] = values
            return
        column = self.columns[node]
        if column is None:
            column = self.columns[node] = [MISSING] * self.size
        for row, value in zip(rows, values, strict=True):
            column[row] = value

    def hold(self, row: int, name: str, took_s: float) -> None:
        """A node held the loop, in one of the runs."""
        held = self._blocked.setdefault(row, {})
        held[name] = held.get(name, 0.0) + took_s

    @property
    def has_blocked(self) -> bool:
        """Whether any node held the loop."""
        return bool(self._blocked)

    def blocked(self, row: int) -> Mapping[str, float]:
        """Node to the seconds for which it held the loop."""
        return self._blocked.get(row, NOTHING)

    def given(self, row: int) -> dict[str, object]:
        """All that a run was handed in."""
        return {**self._common, **self._givens[row]}

    def record(self, row: int) -> Record:
        """What a run would have written down alone."""
        record = Record(self.plan, self.given(row), self.began_s)
        record.blocked.update(self.blocked(row))
        for entry in self.entries:
            if row in entry[1]:
                _write_down(record, entry)
        for node, column in enumerate(self.columns):
            if column is not None and record.status[node] is None and column[row] is not MISSING:
                record.values_at[node], record.status[node] = column[row], _OK
        record.fine = not self.plan.outcomes  # what was handed in as an outcome may be a stand-in
        return record


def _write_down(record: Record, entry: Entry) -> None:
    node, _, began_s, ended_s, taken, notes = entry
    if began_s is not None:
        record.started[node] = began_s
    if ended_s is not None:
        record.ended[node] = ended_s
    if taken >= 0:
        record.taken[node] = taken
    if notes is not None:
        record.notes[node] = notes


class Row(Mapping[str, Outcome[object]]):
    """One run of a sheet, as far as somebody looks."""

    __slots__ = ("_made", "_row", "_sheet")

    def __init__(self, sheet: Sheet, row: int) -> None:
        self._sheet, self._row = sheet, row
        self._made: Record | None = None

    def peek(self, name: str) -> object:
        """The value of a node, or MISSING."""
        index = self._sheet.plan.index.get(name)
        column = None if index is None else self._sheet.columns[index]
        return MISSING if column is None else column[self._row]

    def spans(self) -> list[Span]:
        """Times of the nodes that began."""
        return self._record.spans()

    @property
    def whole(self) -> bool:
        """Whether all that ran gave their own value, and none that was handed in was made of a stand-in."""
        return self._record.whole

    @property
    def _record(self) -> Record:
        if self._made is None:
            self._made = self._sheet.record(self._row)
            self._made.forget_stand_ins()
        return self._made

    def __getitem__(self, name: str) -> Outcome[object]:
        return self._record[name]

    def __contains__(self, name: object) -> bool:
        return name in self._sheet.plan.index

    def __iter__(self) -> Iterator[str]:
        return iter(self._sheet.plan.index)

    def __len__(self) -> int:
        return len(self._sheet.plan.index)
