"""A source that fails half of its calls is left alone for a while, and then asked once.

The defaults are Hystrix's: of at least 20 calls in 10 s half failed; one probe after 5 s.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from feature_graph.errors import BadGraph, BreakerOpen
from feature_graph.guards.clock import is_number

BUCKETS = 10
"""Parts of the window; the oldest is forgotten whole."""


@dataclass(frozen=True, slots=True)
class Breaker:
    """When a source counts as broken; off unless a source is given one.

    Raises:
        BadGraph: a setting is out of its range.
    """

    share: float = 0.5
    """Of the calls in the window, how many must have failed."""
    at_least: int = 20
    """Calls in the window below which nothing is concluded."""
    window_s: float = 10.0
    open_s: float = 5.0
    """How long nobody asks, until one call probes."""
    on: tuple[type[Exception], ...] = (Exception,)
    """Errors that speak against the source; others show that it answers. A timeout always counts."""

    def __post_init__(self) -> None:
        checks = {
            "share": (is_number(self.share, 1e-9, 1.0), "above 0 and up to 1"),
            "at_least": (isinstance(self.at_least, int) and self.at_least >= 1, "a whole number from 1"),
            "window_s": (is_number(self.window_s, 1e-3), "seconds above 0"),
            "open_s": (is_number(self.open_s, 1e-3), "seconds above 0"),
        }
        bad = [
            f"Breaker: {name} is {getattr(self, name)!r}; legal: {legal}"
            for name, (ok, legal) in checks.items()
            if not ok
        ]
        if bad:
            raise BadGraph(tuple(bad))


class BreakerState(StrEnum):
    """What a breaker lets through."""

    CLOSED = "closed"
    """Every call."""
    OPEN = "open"
    """None."""
    PROBING = "probing"
    """One, whose outcome decides."""


class Tripping:
    """The breaker of one source; whoever uses it holds the source's lock."""

    __slots__ = ("_buckets", "_name", "_opened_s", "_probed_s", "_settings", "state")

    def __init__(self, name: str, settings: Breaker) -> None:
        self._name = name
        self._settings = settings
        self.state = BreakerState.CLOSED
        self._buckets: dict[int, list[int]] = {}
        self._opened_s = self._probed_s = 0.0

    def admit(self, now_s: float, *, take_probe: bool = True) -> bool:
        """Let a call through; True if it is the probe.

        Raises:
            BreakerOpen: it is not let through.
        """
        if self.state is BreakerState.CLOSED:
            return False
        # A probe that never came back (its loop may be gone) is given up after the same time.
        since_s = self._opened_s if self.state is BreakerState.OPEN else self._probed_s
        left_s = since_s + self._settings.open_s - now_s
        if left_s > 1e-9:
            raise BreakerOpen(self._refusal(left_s))
        if take_probe:
            self.state, self._probed_s = BreakerState.PROBING, now_s
        return take_probe

    def record(self, good: bool, now_s: float, probe: bool) -> None:
        """Count a call; what was sent before the breaker opened says nothing any more."""
        if probe:
            self._buckets.clear()
            self.state = BreakerState.CLOSED if good else BreakerState.OPEN
            self._opened_s = now_s
        elif self.state is BreakerState.CLOSED:
            calls, failures = self._count(good, now_s)
            if not good and calls >= self._settings.at_least and failures >= self._settings.share * calls:
                self.state, self._opened_s = BreakerState.OPEN, now_s

    def record_good(self, calls: int, now_s: float) -> None:
        """Count calls that went well together."""
        if calls and self.state is BreakerState.CLOSED:
            self._count(True, now_s, calls)

    def probe_was_stopped(self, now_s: float) -> None:
        """The probe ended without a verdict: the next call is one."""
        self.state, self._opened_s = BreakerState.OPEN, now_s - self._settings.open_s

    def counts(self, error: BaseException) -> bool:
        """True if this error speaks against the source."""
        return isinstance(error, self._settings.on)

    def _count(self, good: bool, now_s: float, calls: int = 1) -> tuple[int, int]:
        newest = int(now_s / self._settings.window_s * BUCKETS)
        bucket = self._buckets.get(newest)
        if bucket is None:
            for old in [number for number in self._buckets if number <= newest - BUCKETS]:
                del self._buckets[old]
            bucket = self._buckets[newest] = [0, 0]
        bucket[0] += calls
        bucket[1] += not good
        if good:
            return 0, 0
        return sum(each[0] for each in self._buckets.values()), sum(
            each[1] for each in self._buckets.values()
        )

    def _refusal(self, left_s: float) -> str:
        if self.state is BreakerState.OPEN:
            return f"source {self._name!r} failed too often and is left alone for {left_s:.3g} s more"
        return f"source {self._name!r} failed too often; one call is finding out whether it is back"
