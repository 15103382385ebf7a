"""What all who ask one upstream share: its places, its breaker, its budgets, and how long it takes.

A source belongs to the process. Any number of graphs, loops and threads may use one; what they count lies
under one lock, which is never held across an ``await``. A copy of a graph keeps asking the same source, so a
copy of a source is the source; what is pickled is its settings.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from enum import Enum
from typing import Any

from feature_graph.deadline import remaining
from feature_graph.errors import BadGraph, BreakerOpen
from feature_graph.guards.breaker import Breaker, Tripping
from feature_graph.guards.budget import HedgeTokens, RetryBudget, RetryTokens
from feature_graph.guards.bulkhead import Bulkhead
from feature_graph.guards.clock import Clock, Random, chance, is_number, loop_time
from feature_graph.guards.latency import Latencies
from feature_graph.guards.state import SourceState
from feature_graph.scope import note


class Verdict(Enum):
    """What one call told about its source."""

    GOOD = 1
    TRANSIENT = 2
    """An error that is worth another attempt."""
    ERROR = 3
    LATE = 4
    """It was cut off because its time was up."""
    STOPPED = 5
    """It was cut off for reasons that are not the source's."""


class Source:
    """One upstream: a service, a database, a cache.

    >>> bureau = Source("bureau", max_in_flight=20, max_waiting=100, breaker=Breaker())
    >>> bureau.state().breaker
    <BreakerState.CLOSED: 'closed'>

    Args:
        name: as a person calls it, in errors and metrics.
        max_in_flight: calls under way at once, each attempt and each copy for itself; None: no limit.
        max_waiting: calls that may wait for a place, beyond which they fail at once; None: no limit. Waiting
            counts against the deadline of who waits.
        retry_budget: stops retries when too many calls fail; None: never.
        max_extra_load: hedges, as a share of calls; 0 switches hedging off.
        breaker: when to leave the source alone; None: never.
        clock: seconds; by default the running loop's, so that tests may have a virtual one.
        random: spreads retries out.

    Raises:
        BadGraph: a limit makes no sense.
    """

    def __init__(
        self,
        name: str,
        *,
        max_in_flight: int | None = None,
        max_waiting: int | None = None,
        retry_budget: RetryBudget | None = RetryBudget(),  # noqa: B008 - frozen
        max_extra_load: float = 0.05,
        breaker: Breaker | None = None,
        clock: Clock = loop_time,
        random: Random = chance,
    ) -> None:
        _check(name, max_in_flight, max_waiting, max_extra_load)
        self.name = name
        self.clock = clock
        self.random = random
        self._settings: dict[str, Any] = {
            "max_in_flight": max_in_flight,
            "max_waiting": max_waiting,
            "retry_budget": retry_budget,
            "max_extra_load": max_extra_load,
            "breaker": breaker,
            "clock": clock,
            "random": random,
        }
        self._lock = threading.Lock()
        self._bulkhead = Bulkhead(name, max_in_flight, max_waiting)
        self._breaker = None if breaker is None else Tripping(name, breaker)
        self._retries, self._hedges = RetryTokens(retry_budget), HedgeTokens(max_extra_load)
        self._latencies = Latencies()
        self._calls = self._failures = self._refused = 0
        self._retried = self._hedged = self._hedges_won = 0

    def __repr__(self) -> str:
        return f"Source({self.name!r})"

    def __deepcopy__(self, memo: object) -> Source:
        return self

    def __copy__(self) -> Source:
        return self

    def __reduce__(self) -> tuple[Callable[..., Source], tuple[str, dict[str, Any]]]:
        return _unpickled, (self.name, self._settings)

    def state(self) -> SourceState:
        """What it looks like now; may be called from any thread."""
        with self._lock:
            return SourceState(
                name=self.name,
                in_flight=self._bulkhead.in_flight,
                waiting=self._bulkhead.waiting,
                calls=self._calls,
                failures=self._failures,
                refused=self._refused,
                retries=self._retried,
                hedges=self._hedged,
                hedges_won=self._hedges_won,
                retry_tokens=self._retries.left,
                hedge_tokens=self._hedges.left,
                breaker=None if self._breaker is None else self._breaker.state,
                p50_s=self._latencies.percentile(0.5),
                p95_s=self._latencies.percentile(0.95),
                p99_s=self._latencies.percentile(0.99),
            )

    # ------------------------------------------------------------------ a call, from its place to its verdict

    def enter(self) -> bool:
        """Take a place; False if the call has to wait for one (:meth:`wait`).

        Raises:
            BreakerOpen: the source is left alone; to stand in line for it would be of no use.
        """
        with self._lock:
            if self._bulkhead.enter():
                return True
            if self._breaker is not None:
                self._admit(self._breaker, take_probe=False)
            return False

    async def wait(self) -> None:
        """Wait in line for a place.

        Raises:
            Overloaded: the line is as long as it may be.
        """
        with self._lock:
            try:
                waiter = self._bulkhead.queue(asyncio.get_running_loop())
            except BaseException:
                self._refused += 1
                raise
        began_s = self.clock()
        try:
            await waiter.future
        except BaseException:
            with self._lock:
                granted = self._bulkhead.withdraw(waiter)
            if granted:
                self.leave()
            raise
        note(waited_s=self.clock() - began_s)

    def begin(self) -> bool:
        """Count a call that has its place; True if it is the breaker's probe.

        Raises:
            BreakerOpen: it may not be made, and has given its place back.
        """
        probe = False
        try:
            with self._lock:
                if self._breaker is not None:
                    probe = self._admit(self._breaker)
                    note(breaker=self._breaker.state.value)
                self._calls += 1
                self._hedges.called()
        except BreakerOpen:
            self.leave()
            raise
        return probe

    def settle(self, verdict: Verdict, took_s: float, error: BaseException | None, probe: bool) -> None:
        """Learn from how a call ended."""
        with self._lock:
            if verdict is Verdict.GOOD:
                self._latencies.add(took_s)
                self._retries.succeeded()
            else:
                self._learn_from_failure(verdict, took_s)
            if self._breaker is not None:
                self._tell_breaker(self._breaker, verdict, took_s, error, probe)

    def leave(self) -> None:
        """Give a place back; from any thread."""
        while True:
            with self._lock:
                waiter = self._bulkhead.leave()
            if waiter is None or waiter.wake():
                return

    def _admit(self, breaker: Tripping, take_probe: bool = True) -> bool:
        try:
            return breaker.admit(self.clock(), take_probe=take_probe)
        except BreakerOpen:
            self._refused += 1
            note(breaker=breaker.state.value)
            raise

    def _learn_from_failure(self, verdict: Verdict, took_s: float) -> None:
        if verdict is not Verdict.STOPPED:
            self._failures += 1
        if verdict is Verdict.LATE or verdict is Verdict.STOPPED:
            self._latencies.add_at_least(took_s)
        if verdict is Verdict.LATE or verdict is Verdict.TRANSIENT:
            self._retries.failed()

    def _tell_breaker(
        self, breaker: Tripping, verdict: Verdict, took_s: float, error: BaseException | None, probe: bool
    ) -> None:
        if verdict is Verdict.GOOD:
            breaker.record(True, self.clock(), probe)
        elif verdict is Verdict.LATE and took_s >= self._latencies.typical():
            breaker.record(False, self.clock(), probe)
        elif verdict is Verdict.ERROR or verdict is Verdict.TRANSIENT:
            breaker.record(error is not None and not breaker.counts(error), self.clock(), probe)
        elif probe:  # stopped, or begun so late that nobody could have answered
            breaker.probe_was_stopped(self.clock())

    # ------------------------------------------------------------------ second attempts and copies

    def time_is_left(self, pause_s: float = 0.0) -> bool:
        """True if after a pause a call that takes as long as most still ends in time."""
        left_s = remaining()
        if left_s is None:
            return True
        with self._lock:
            return left_s > pause_s + self._latencies.typical()

    def may_retry(self) -> bool:
        """True while the retry budget allows another attempt."""
        with self._lock:
            return self._retries.allow()

    def retrying(self) -> None:
        """Count a retry."""
        with self._lock:
            self._retried += 1

    def may_hedge(self) -> bool:
        """True if the share of extra load allows a copy, and it need not wait for a place.

        A copy in the line would hold up calls that nobody has made yet.
        """
        with self._lock:
            return self._hedges.allow() and not self._bulkhead.full

    def hedging(self) -> None:
        """Count a copy, and pay for it."""
        with self._lock:
            self._hedges.spend()
            self._hedged += 1

    def hedge_won(self) -> None:
        """Count a copy that answered first."""
        with self._lock:
            self._hedges_won += 1

    def percentile(self, share: float) -> float | None:
        """Seconds that ``share`` of the calls do not exceed; None while too few were seen."""
        with self._lock:
            return self._latencies.percentile(share)


def _unpickled(name: str, settings: dict[str, Any]) -> Source:
    return Source(name, **settings)


def _check(name: object, max_in_flight: object, max_waiting: object, max_extra_load: object) -> None:
    problems = []
    if not isinstance(name, str) or not name:
        problems.append(f"Source: its name is {name!r}; legal: some text")
    for what, limit, least in (("max_in_flight", max_in_flight, 1), ("max_waiting", max_waiting, 0)):
        whole = isinstance(limit, int) and is_number(limit, least)
        if limit is not None and not whole:
            problems.append(
                f"Source {name!r}: {what} is {limit!r}; legal: a whole number from {least}, or None"
            )
    if max_waiting is not None and max_in_flight is None:
        problems.append(f"Source {name!r}: max_waiting needs max_in_flight; without it nobody ever waits")
    if not is_number(max_extra_load, 0.0, 1.0):
        problems.append(f"Source {name!r}: max_extra_load is {max_extra_load!r}; legal: a share of 0 to 1")
    if problems:
        raise BadGraph(tuple(problems))
