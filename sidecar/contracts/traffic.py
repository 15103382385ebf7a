"""How many decisions were answered and how long that took, by minute and by ten minutes, of all replicas.

Each service adds what it has counted, once a second, under its own clock. For people: what a service had not
told when it died is missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import get_args

from msgspec import Struct, field

from sidecar.contracts.events import Source

MINUTE_MS = 60_000
SLOT_MS = 10 * MINUTE_MS
EDGES_MS = (1.0, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0)
"""Upper ends of the ranges in which times are counted; beyond them is one more."""
_EDGES = {f"<{edge_ms:g}": edge_ms for edge_ms in (*EDGES_MS, float("inf"))}
_SOURCES: tuple[str, ...] = get_args(Source)
MINUTES_KEPT_S = 3 * 3_600
DAYS_KEPT_S = 2 * 86_400


class Traffic(Struct):
    """Of one minute, or of ten."""

    sources: dict[str, int] = field(default_factory=dict)
    """Source of decisions to how many were answered."""
    times: dict[float, int] = field(default_factory=dict)
    """Upper end of a range of milliseconds to how many answers took that long; infinity for the rest."""

    @property
    def decisions(self) -> int:
        """Of all sources."""
        return sum(self.sources.values())


def of_source(slot: int, source: str) -> str:
    """The field that counts a source's decisions."""
    return f"{slot}|{source}"


def of_time(slot: int, edge_ms: float) -> str:
    """The field that counts answers that took no longer than that, and longer than the edge before.

    >>> of_time(29_000_000, 7.5)
    '29000000|<7.5'
    """
    return f"{slot}|<{edge_ms:g}"


def decode_traffic(stored: Mapping[bytes, bytes]) -> dict[int, Traffic]:
    """Number of the minute, or of the ten minutes, to what was counted. What is none of ours is left out."""
    found: dict[int, Traffic] = {}
    for name, count in stored.items():
        slot, _, what = name.decode(errors="replace").partition("|")
        if slot.isdecimal() and count.isdigit():
            traffic = found.setdefault(int(slot), Traffic())
            if what in _EDGES:
                traffic.times[_EDGES[what]] = int(count)
            elif what in _SOURCES:
                traffic.sources[what] = int(count)
    return found


def quantile_ms(times: Mapping[float, int], share: float) -> float | None:
    """So long took that share of the answers, at most: between the ends of a range as if it were even.

    None: there were none, or it lies beyond the last end.

    >>> quantile_ms({2.0: 50, 3.0: 50}, 0.75)
    2.5
    """
    wanted, before = share * sum(times.values()), 0.0
    if not wanted:
        return None
    for low, high in pairwise([0.0, *sorted({*EDGES_MS, *times})]):
        count = times.get(high, 0)
        if before + count >= wanted and count:
            return None if high == float("inf") else low + (high - low) * (wanted - before) / count
        before += count
    return None
