"""When what is done next."""

from __future__ import annotations

from collections.abc import Callable

Clock = Callable[[], float]
"""Seconds from any beginning, never backwards."""


class Every:
    """Says once in so many seconds that it is time."""

    def __init__(self, seconds: float, clock: Clock) -> None:
        self._seconds, self._clock = seconds, clock
        self._since = clock()
        self._rest = 0.0

    @property
    def due(self) -> bool:
        """Time has come; it stays so until :meth:`restart`."""
        return self._clock() - self._since >= max(self._seconds, self._rest)

    def restart(self) -> None:
        """Count from now."""
        self._since, self._rest = self._clock(), 0.0

    def rest(self, seconds: float) -> None:
        """Not before so many seconds after the last restart, this once."""
        self._rest = seconds
