"""How much extra load a source may be given: tokens, earned by calls and spent by copies and second attempts.

Retry tokens are those of gRPC's proposal A6 (client retries: throttling); a share of extra load for hedges is
Finagle's ``maxExtraLoad``.
"""

from __future__ import annotations

from dataclasses import dataclass

from feature_graph.errors import BadGraph
from feature_graph.guards.clock import is_number


@dataclass(frozen=True, slots=True)
class RetryBudget:
    """A failure costs a token, a success earns ``ratio``; at half of ``tokens`` and below nothing is retried.

    So retries stop when more than about ``ratio`` of the calls fail: then the source is down or drowning, and
    more of the same would keep it there.

    Raises:
        BadGraph: ``tokens`` is not above 0, or ``ratio`` not in 0 to 1.
    """

    tokens: float = 10.0
    ratio: float = 0.1

    def __post_init__(self) -> None:
        if not is_number(self.tokens, 1e-9):
            raise BadGraph((f"RetryBudget: tokens is {self.tokens!r}; legal: a number above 0",))
        if not is_number(self.ratio, 0.0, 1.0):
            raise BadGraph((f"RetryBudget: ratio is {self.ratio!r}; legal: 0 to 1",))


class RetryTokens:
    """What is left of a :class:`RetryBudget`; without one, there is always enough."""

    __slots__ = ("_most", "_ratio", "left")

    def __init__(self, budget: RetryBudget | None) -> None:
        self.left: float | None = None if budget is None else budget.tokens
        self._most, self._ratio = (0.0, 0.0) if budget is None else (budget.tokens, budget.ratio)

    def succeeded(self) -> None:
        """Earn a part of a token."""
        if self.left is not None and self.left < self._most:
            self.left = min(self._most, self.left + self._ratio)

    def failed(self) -> None:
        """Lose a token."""
        if self.left is not None:
            self.left = max(0.0, self.left - 1.0)

    def allow(self) -> bool:
        """True if a call may be tried again."""
        return self.left is None or self.left > self._most / 2.0


class HedgeTokens:
    """One hedge in ``1 / share`` calls, with a few saved up for a bad moment and one to begin with."""

    __slots__ = ("_share", "left")
    MOST = 10.0

    def __init__(self, share: float) -> None:
        self._share = share
        self.left = 1.0 if share else 0.0

    def called(self) -> None:
        """Earn a part of a token, for a call of any kind."""
        if self.left < self.MOST:
            self.left = min(self.MOST, self.left + self._share)

    def allow(self) -> bool:
        """True if a copy may be sent."""
        return self.left > 1.0 - 1e-9

    def spend(self) -> None:
        """Pay for a copy, and for what it earns as a call: the share is of calls without copies."""
        self.left -= 1.0 + self._share
