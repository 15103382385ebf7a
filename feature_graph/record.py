"""What a concurrent run writes down about its nodes, and how it reads afterwards.

Lists while the run lasts, :class:`Outcome` and :class:`Span` only where somebody looks: most nodes nobody
asks about. It refers neither to tasks nor to the loop, so that keeping a resolution keeps nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from feature_graph.outcome import Outcome, Status
from feature_graph.plan import Plan
from feature_graph.resolution import Span


class Record(Mapping[str, Outcome[object]]):
    """Outcomes by name over arrays that are indexed as in the plan."""

    __slots__ = ("began_s", "ended", "plan", "reasons", "roots", "started", "status", "values_at", "via")

    def __init__(self, plan: Plan, given: Mapping[str, object], began_s: float) -> None:
        size = len(plan.steps)
        self.plan = plan
        self.began_s = began_s
        self.values_at: list[object] = [given[name] for name in plan.given]
        self.values_at.extend([None] * (size - len(plan.given)))
        self.status: list[Status | None] = list(plan.status)
        self.started: list[float | None] = [None] * size
        self.ended: list[float | None] = [None] * size
        self.reasons: dict[int, BaseException | None] = {}
        self.roots: dict[int, int] = {}
        self.via: dict[int, int] = {}

    def outcome(self, index: int) -> Outcome[object]:
        """What became of a node, as far as is known."""
        root, via = self.roots.get(index), self.via.get(index)
        steps = self.plan.steps
        return Outcome(
            self.status[index] or Status.NOT_NEEDED,
            self.values_at[index],
            self.reasons.get(index),
            None if root is None else steps[root].name,
            None if via is None else steps[via].name,
        )

    def spans(self) -> list[Span]:
        """Times of the nodes that began."""
        rows = zip(self.plan.steps, self.started, self.ended, self.status, strict=True)
        return [
            Span(step.name, start - self.began_s, end - self.began_s, status)
            for step, start, end, status in rows
            if start is not None and end is not None and status is not None
        ]

    def __getitem__(self, name: str) -> Outcome[object]:
        return self.outcome(self.plan.index[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self.plan.index)

    def __len__(self) -> int:
        return len(self.plan.index)
