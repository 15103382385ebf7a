"""How the nodes of the feature graph do, for people: a few runs a second are looked at, all others pass.

A look costs some microseconds a node, a run that passes a clock and a comparison. Times are counted by their
level in two halves of a minute each, so that what is told is of the last minute or two.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

from msgspec import Struct, field

from decision_service.errors import StoreAway
from decision_service.event_log import patiently
from feature_graph import Resolution, Status
from sidecar.contracts.node_report import NodeReport, NodeSeen, level_of, nodes_call
from sidecar.contracts.store import AsyncScripts

LOOK_EVERY_S = 0.05
"""Between two looks at runs for the same goals."""
HALF_S = 60.0
_TELL_EVERY_S = 2.0
_MOST_GOALS = 64
"""Sets of goals that are told apart: what a request gives itself is no goal, so there may be many."""
_MOST_SAID = 200
_TROUBLES = (Status.FAILED, Status.TIMED_OUT, Status.FALLBACK, Status.UPSTREAM_FAILED)


class _Half(Struct):
    """What was seen in a minute."""

    outcomes: dict[str, Counter[str]] = field(default_factory=dict)
    took: dict[str, Counter[int]] = field(default_factory=dict)
    runs: int = 0


class _Last(Struct):
    """What was seen of a node last."""

    ms: float | None = None
    status: str = ""
    at_ms: int = 0
    trouble: str = ""
    trouble_at_ms: int = 0


class NodeWatch:
    """Of one process.

    Args:
        clock: seconds, for the pauses.
        now_ms: the wall clock.
    """

    def __init__(self, clock: Callable[[], float], now_ms: Callable[[], int]) -> None:
        self._clock, self._now_ms = clock, now_ms
        self._next: dict[tuple[str, ...], float] = {}
        self._halves, self._half_ends = (_Half(), _Half()), 0.0
        self._last: dict[str, _Last] = {}
        self._told: tuple[float, NodeReport | None] = (0.0, None)
        """When, and what."""

    def look(self, found: Resolution) -> None:
        """A run of the graph is over."""
        now_s, goals = self._clock(), found.goals
        if now_s < self._next.get(goals, 0.0):
            return
        if goals not in self._next and len(self._next) >= _MOST_GOALS:
            self._next.clear()
        self._next[goals] = now_s + LOOK_EVERY_S
        self._turn(now_s)
        self._note(found)

    def _turn(self, now_s: float) -> None:
        if now_s >= self._half_ends:
            late = now_s >= self._half_ends + HALF_S
            self._halves = (_Half(), _Half() if late else self._halves[0])
            self._half_ends = now_s + HALF_S

    def _note(self, found: Resolution) -> None:
        half, now_ms = self._halves[0], self._now_ms()
        half.runs += 1
        for span in found.timeline:
            ms = (span.end_s - span.start_s) * 1000
            half.took.setdefault(span.name, Counter())[level_of(ms)] += 1
            last = self._last.setdefault(span.name, _Last())
            last.ms, last.status, last.at_ms = ms, span.status.value, now_ms
        for name in found.nodes:
            if name in found.given:
                continue
            outcome = found.outcomes[name]
            if outcome.status is Status.NOT_NEEDED:  # so are all that no goal of this look is about
                continue
            half.outcomes.setdefault(name, Counter())[outcome.status.value] += 1
            if outcome.status in _TROUBLES:
                last = self._last.setdefault(name, _Last())
                last.trouble, last.trouble_at_ms = outcome.describe()[:_MOST_SAID], now_ms

    def report(self) -> NodeReport:
        """What was seen of every node."""
        self._turn(self._clock())
        new, old = self._halves
        names = new.outcomes.keys() | old.outcomes.keys() | self._last.keys()
        return NodeReport({name: self._seen(name) for name in sorted(names)}, new.runs + old.runs)

    def _seen(self, name: str) -> NodeSeen:
        last, halves = self._last.get(name, _Last()), self._halves
        outcomes = sum((half.outcomes.get(name, Counter()) for half in halves), Counter[str]())
        took = sum((half.took.get(name, Counter()) for half in halves), Counter[int]())
        return NodeSeen(
            dict(outcomes), dict(took), last.ms, last.status, last.at_ms, last.trouble, last.trouble_at_ms
        )

    async def keep_telling(self, scripts: AsyncScripts, app: str, service: str) -> None:
        """For ever: tell the store what is new. While it is away nobody hears."""
        while True:
            await asyncio.sleep(_TELL_EVERY_S)
            with suppress(StoreAway):
                await self.tell(scripts, app, service)

    async def tell(self, scripts: AsyncScripts, app: str, service: str) -> None:
        """Tell the store, if there is news, or it was long ago.

        Raises:
            StoreAway: it did not answer.
        """
        report, now_s = self.report(), self._clock()
        told_s, told = self._told
        if report != told or now_s - told_s >= HALF_S:
            call = nodes_call(app, service, report)
            await patiently(lambda: scripts.run(call))
            self._told = now_s, report
