"""``[reward]``: how events become one number, and how long a decision waits for them."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from sidecar.contracts.ranges import Positive

EventName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.:-]{1,64}$")]
"""No bar: stored rewards are separated by them."""

Aggregation = Literal["sum", "earliest", "latest", "max", "min", "mean", "median"]
RewardMode = Literal["wait", "assume", "earliest"]

_FINITE = ("horizon_s", "longest_horizon_s", "default", "early_window_s", "tombstone_s", "minimum", "maximum")
_MOST_CORRECTIONS = 256


class RewardConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """``[reward]``: how events become one number, and how long a decision waits for them."""

    horizon_s: Positive = 1800.0
    """How long a decision waits for its rewards, in seconds of the store's clock."""
    longest_horizon_s: Positive = 2_419_200.0
    """The longest horizon that a request may choose for its decision; four weeks by default. Each pending
    decision takes memory in the store."""
    mode: RewardMode = "wait"
    """When a decision is learnt from. ``wait``: once, at its horizon. ``assume``: the default at once, then a
    correction for each reward; with ``cb_type = "mtr"`` only. ``earliest``: at its first reward, or at its
    horizon if there is none. The row in the log is written at the horizon in every mode. A decision keeps the
    mode that it was made in."""
    default: float = 0.0
    """The reward of a decision for which none came within the horizon."""
    aggregation: Aggregation = "sum"
    """How several rewards of one decision become one number."""
    events: dict[EventName, float] = msgspec.field(default_factory=lambda: {"purchase": 1.0})
    """Event name to its value; a reward request may override the value."""
    attribution: Literal["last", "all", "arm"] = "last"
    """Which of a session's decisions a reward by session reaches. ``last``: its last one; ``all``: each that
    still takes rewards, at most the latest 64; ``arm``: the last that showed the arm that the reward names.
    """
    early_window_s: Positive = 600.0
    """How long a reward waits for a decision that has not arrived yet."""
    tombstone_s: Positive = 86400.0
    """How long a finalised decision is remembered, so that repeats and late rewards are recognised."""
    max_per_decision: Annotated[int, Meta(ge=1, le=10_000)] = 64
    """Rewards that one decision takes; more are answered ``over_limit`` and counted."""
    minimum: float = -1e6
    """See ``maximum``."""
    maximum: float = 1e6
    """Rewards outside [minimum, maximum] are refused with 422."""

    def __post_init__(self) -> None:
        """Refuse what could only fail later.

        Raises:
            ValueError: a number that is not finite, an event outside the bounds, a horizon over the longest.
        """
        numbers = {name: getattr(self, name) for name in _FINITE} | {
            f"events.{n}": v for n, v in self.events.items()
        }
        if odd := [name for name, value in numbers.items() if not math.isfinite(value)]:
            raise ValueError(f"{odd[0]} is {numbers[odd[0]]}: a finite number is legal")
        if out := [n for n, value in self.events.items() if not self.minimum <= value <= self.maximum]:
            raise ValueError(
                f"event {out[0]!r} is worth {self.events[out[0]]:g}: legal are minimum to maximum, "
                f"{self.minimum:g} to {self.maximum:g}"
            )
        if self.horizon_s > self.longest_horizon_s:
            raise ValueError(
                f"horizon_s is {self.horizon_s:g}: at most longest_horizon_s, {self.longest_horizon_s:g}"
            )
        if self.mode == "assume" and self.max_per_decision > _MOST_CORRECTIONS:
            raise ValueError(
                f"max_per_decision is {self.max_per_decision}: with mode assume at most {_MOST_CORRECTIONS} "
                "are legal, since each reward's correction names all those before it"
            )
