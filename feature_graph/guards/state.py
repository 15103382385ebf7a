"""What metrics and people read of a source and of a cache."""

from __future__ import annotations

from dataclasses import dataclass

from feature_graph.guards.breaker import BreakerState


@dataclass(frozen=True, slots=True)
class SourceState:
    """A source at one moment, for a person or for metrics. Counts are since the start."""

    name: str
    in_flight: int
    waiting: int
    calls: int
    """Attempts and copies, each for itself."""
    failures: int
    """Calls that raised or were cut off by their time."""
    refused: int
    """Calls that were not made: overloaded, or the breaker was open."""
    retries: int
    hedges: int
    hedges_won: int
    retry_tokens: float | None
    """None: retries are not limited."""
    hedge_tokens: float
    breaker: BreakerState | None
    """None: it has none."""
    p50_s: float | None
    p95_s: float | None
    p99_s: float | None
    """None while too few calls were seen."""


@dataclass(frozen=True, slots=True)
class CacheState:
    """A cache at one moment. Counts are since the start."""

    entries: int
    hits: int
    misses: int
    """Fetches that were begun."""
    shared: int
    """Consumers that joined a fetch under way."""
    stale: int
    """Expired values that were used because the fetch failed."""
