"""How long a source takes, from its last answers."""

from __future__ import annotations

from math import ceil

KEPT = 256
"""Answers that are remembered: enough for a p99, few enough to forget yesterday and to sort in 20 µs."""
ENOUGH = 20
"""Answers below which no percentile is told."""
A_FEW = 5
"""Answers below which there is no telling what is typical."""
_SORT_EVERY = 32


class Latencies:
    """A ring of the last durations, in seconds."""

    __slots__ = ("_ring", "_sorted", "_sorted_at", "count")

    def __init__(self) -> None:
        self.count = 0
        self._ring: list[float] = []
        self._sorted: list[float] = []
        self._sorted_at = 0

    def add(self, took_s: float) -> None:
        """Remember one duration, and forget the oldest."""
        if self.count < KEPT:
            self._ring.append(took_s)
        else:
            self._ring[self.count % KEPT] = took_s
        self.count += 1

    def add_at_least(self, took_s: float) -> None:
        """Remember a call that was cut off: all that is known is that it takes longer.

        Left out, the slow ones would be missing and every percentile too low: hedges and timeouts would make
        themselves more frequent. So it counts, once it has taken longer than most: then its rank is right.
        """
        if took_s >= self.typical():
            self.add(took_s)

    def typical(self) -> float:
        """The median; 0 while too little is known to hold anybody back."""
        return self._at(0.5) if len(self._ring) >= A_FEW else 0.0

    def percentile(self, share: float) -> float | None:
        """The duration that ``share`` of the calls do not exceed; None while too few were seen to tell."""
        if len(self._ring) < max(ENOUGH, 1.0 / (1.0 - share) - 1e-6):
            return None
        return self._at(share)

    def _at(self, share: float) -> float:
        if self.count - self._sorted_at >= _SORT_EVERY or len(self._sorted) < min(
            len(self._ring), _SORT_EVERY
        ):
            self._sorted = sorted(self._ring)
            self._sorted_at = self.count
        return self._sorted[max(0, ceil(share * len(self._sorted) - 1e-9) - 1)]
