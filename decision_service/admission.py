"""Admission: how many requests are under way at once, and who is turned away first when that is too many.

A queue that is longer than a deadline is of no use to anybody in it. So the limit follows what is seen: when
answers come long after their deadlines it falls by a tenth, when they do not and it is used up it rises by
a twentieth. Reads and batches are turned away first, then decisions, which the caller can make up for;
rewards last, since what they tell is lost otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

Rank = Literal["probe", "batch", "decide", "reward"]

_SHARE: dict[Rank, float] = {"batch": 0.7, "decide": 0.9, "reward": 1.0}
"""Of the limit that requests of a rank may find taken. Probes are always let in."""
LATE = 3.0
"""An answer counts as late after that many times its deadline: less may be a slow disk or a busy machine."""
_LATE_SHARE = 0.1
"""Of late answers in a window, from which on the limit falls."""
_WINDOW_S = 0.1
_FALL, _RISE = 0.9, 1.05


class Admission:
    """Counts what is under way; belongs to one event loop.

    Args:
        most: the limit at the start, and its highest.
        least: its lowest.
        clock: seconds that never jump.
        tell: is told each limit.
    """

    def __init__(
        self, most: int, least: int, clock: Callable[[], float], tell: Callable[[float], None]
    ) -> None:
        self._most, self._least, self._clock, self._tell = most, min(least, most), clock, tell
        self.limit = float(most)
        self.under_way = 0
        self._until_s = clock() + _WINDOW_S
        self._answers = self._late = self._peak = 0
        tell(self.limit)

    def full(self, rank: Rank) -> bool:
        """Whether a request of that rank would be turned away now."""
        return rank != "probe" and self.under_way >= self.limit * _SHARE[rank]

    def enter(self, rank: Rank) -> bool:
        """Whether a request may come in; if so, ``leave`` must follow."""
        if self.full(rank):
            return False
        self.under_way += 1
        self._peak = max(self._peak, self.under_way)
        return True

    def leave(self) -> None:
        """It was answered."""
        self.under_way -= 1

    def answered(self, took_s: float, deadline_s: float) -> None:
        """A decision was answered: the limit follows."""
        self._answers += 1
        self._late += took_s > LATE * deadline_s
        if self._clock() >= self._until_s:
            self._follow()

    def _follow(self) -> None:
        if self._late > _LATE_SHARE * self._answers:
            self.limit = max(self.limit * _FALL, self._least)
        elif self._peak >= _SHARE["decide"] * self.limit:
            self.limit = min(self.limit * _RISE, self._most)
        self._until_s = self._clock() + _WINDOW_S
        self._answers = self._late = 0
        self._peak = self.under_way
        self._tell(self.limit)
