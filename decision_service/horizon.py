"""How long a decision waits for its rewards: as the request says, within what the application allows."""

from __future__ import annotations

from decision_service.errors import BadRequest, FieldError
from sidecar.contracts.reward_section import RewardConfig


def horizon_ms_of(asked_s: float | None, reward: RewardConfig) -> int:
    """The horizon in milliseconds.

    Raises:
        BadRequest: longer than the longest.

    >>> horizon_ms_of(None, RewardConfig()), horizon_ms_of(2.5, RewardConfig())
    (1800000, 2500)
    """
    if asked_s is None:
        return round(reward.horizon_s * 1000)
    if asked_s > reward.longest_horizon_s:
        legal = f"0.001 to {reward.longest_horizon_s:g}, the application's longest_horizon_s"
        raise BadRequest(FieldError("/horizon_s", f"{asked_s:g} s is too long; legal: {legal}"))
    return max(1, round(asked_s * 1000))
