"""What the policy earned beside drawing evenly, with an interval that holds whenever anybody looks."""

from __future__ import annotations

from msgspec import Struct

from decision_service.console.series import Day
from sidecar.contracts.earned import Bets
from sidecar.policy.evidence import REACHES, Sums, lower_bound

ERROR = 0.05
"""Of both sides together, at all looks of a day together."""


class PolicyValue(Struct, frozen=True):
    """Of the decisions of a day that a model's scores decided, and whose horizon has ended."""

    since_ms: int
    decisions: int
    policy: float
    """Mean of what they earned."""
    control: float
    """What drawing evenly would have earned, from the same decisions by their probabilities."""
    difference: float
    lower: float | None
    """The difference is above it, whenever anybody looks that day; null: nothing can be said."""
    upper: float | None
    """And below it. One of both is wrong with a chance of ``error``, of all looks together."""
    error: float


def policy_value(day: Day) -> PolicyValue | None:
    """None: nothing is known of that day."""
    earned = day.earned
    if not earned.decisions or not earned.compared:
        return None
    policy, gain = earned.reward / earned.decisions, earned.gain / earned.compared
    lower, upper = _interval(day.bets)
    return PolicyValue(day.since_ms, int(earned.decisions), policy, policy - gain, gain, lower, upper, ERROR)


def _interval(bets: Bets) -> tuple[float | None, float | None]:
    """In rewards; None where no side can be told from the widest that there is."""
    if len(bets.gain) != 2 * len(REACHES) or len(bets.loss) != 2 * len(REACHES):
        return None, None
    lower, upper = (
        lower_bound(_sums(bets, bets.gain), ERROR / 2),
        -lower_bound(_sums(bets, bets.loss), ERROR / 2),
    )
    return bets.width * lower, bets.width * upper


def _sums(bets: Bets, side: tuple[float, ...]) -> Sums:
    half = len(REACHES)
    return Sums(int(bets.count), list(side[:half]), list(side[half:]))
