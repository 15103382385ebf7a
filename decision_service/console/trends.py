"""What happened in each of the latest slots of time, as columns for a chart: null where nothing is known."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from sidecar.contracts.earned import Earned
from sidecar.contracts.traffic import Traffic, quantile_ms


class Trend(Struct, frozen=True):
    """Columns of equal length, oldest first; the last one goes on."""

    from_ms: int
    """Where the first slot begins."""
    step_ms: int
    decisions: list[int]
    backstop: list[int]
    """Of them, those that the backstop answered."""
    p50_ms: list[float | None]
    p99_ms: list[float | None]
    reward: list[float | None]
    """Mean of what the policy earned a decision, in the slot in which its horizon ended."""
    control: list[float | None]
    """What drawing evenly would have."""


_NOTHING = Traffic()


def trend(
    traffic: Mapping[int, Traffic], earned: Mapping[int, Earned], now_ms: int, step_ms: int, count: int
) -> Trend:
    """The latest ``count`` slots.

    Args:
        traffic: by the number of the slot since 1970.
        earned: likewise.
        now_ms: in the last of them.
        step_ms: how long each is.
        count: how many.
    """
    last = now_ms // step_ms
    slots = range(last - count + 1, last + 1)
    answered, came = [traffic.get(slot, _NOTHING) for slot in slots], [earned.get(slot) for slot in slots]
    return Trend(
        from_ms=slots[0] * step_ms,
        step_ms=step_ms,
        decisions=[one.decisions for one in answered],
        backstop=[one.sources.get("fallback", 0) for one in answered],
        p50_ms=[quantile_ms(one.times, 0.5) for one in answered],
        p99_ms=[quantile_ms(one.times, 0.99) for one in answered],
        reward=[_reward(one) for one in came],
        control=[_control(one) for one in came],
    )


def _reward(one: Earned | None) -> float | None:
    return one.reward / one.decisions if one and one.decisions else None


def _control(one: Earned | None) -> float | None:
    """As the policy, less what it gained."""
    reward = _reward(one)
    return reward - one.gain / one.compared if one and one.compared and reward is not None else None
