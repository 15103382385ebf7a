"""When to try again: the same for both clients, which only differ in how they wait."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sidearm_client.deadline import Left
from sidearm_client.errors import Unavailable


@dataclass(frozen=True, slots=True)
class Retries:
    """How often, and after which pauses.

    Each pause is drawn evenly from nothing up to its bound, so that clients that failed together do not come
    back together.
    """

    most: int = 2
    """After the first attempt."""
    first_s: float = 0.05
    """Bound of the first pause, in seconds; each further one is twice as long."""
    longest_s: float = 1.0

    def bound_s(self, attempt: int) -> float:
        """Of the pause after the n-th attempt, from 0.

        >>> [Retries().bound_s(n) for n in (0, 1, 9)]
        [0.05, 0.1, 1.0]
        """
        return min(self.longest_s, self.first_s * 2.0 ** min(attempt, 32))


RETRIES = Retries()


class Attempts:
    """The attempts of one call.

    Args:
        retries: how often.
        timeout_s: for all of them.
        clock: seconds that never jump.
        share: draws from [0, 1).
    """

    __slots__ = ("_clock", "_ends_s", "_made", "_retries", "_share")

    def __init__(
        self, retries: Retries, timeout_s: float, clock: Callable[[], float], share: Callable[[], float]
    ) -> None:
        self._retries, self._clock, self._share = retries, clock, share
        self._ends_s = clock() + timeout_s
        self._made = 0

    def left_s(self) -> Left:
        """Seconds that the next attempt may take; never nothing, since that would mean for ever."""
        return Left(max(0.001, self._ends_s - self._clock()), lambda: self._ends_s - self._clock())

    def pause_s(self, failure: Unavailable) -> float:
        """Seconds until the next attempt.

        Raises:
            Unavailable: ``failure``: there is none left, or no time for it.
        """
        pause_s = self._retries.bound_s(self._made) * self._share()
        pause_s = max(pause_s, failure.retry_after_s)
        self._made += 1
        if self._made > self._retries.most or self._clock() + pause_s >= self._ends_s:
            raise failure
        return pause_s
