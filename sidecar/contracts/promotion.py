"""``[promotion]``: when a challenger takes the champion's place."""

from __future__ import annotations

import math
from typing import Annotated

from msgspec import Meta, Struct


class PromotionConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """``[promotion]``: when a challenger takes the champion's place. Evidence is shown anyway."""

    automatic: bool = False
    """True: a challenger that is better beyond doubt becomes the champion by itself, and the champion a
    challenger, which comes back the same way should the new one turn bad. False: it is only said."""
    error: Annotated[float, Meta(gt=0.0, le=0.5)] = 0.01
    """Chance at most that a challenger which is no better than its champion is ever taken for better, however
    often anybody looks; challengers that are there together share it. Smaller: fewer wrong promotions, later
    right ones."""
    margin: Annotated[float, Meta(ge=0.0)] = 0.0
    """A challenger must earn more than its champion by this much a decision, beyond doubt. Larger: fewer
    changes for little."""
    least_effective: Annotated[int, Meta(ge=1, le=1_000_000_000)] = 200
    """Effective sample size (Kish) of the decisions that speak for a challenger, at least."""
    lap: Annotated[int, Meta(ge=100, le=1_000_000_000)] = 20_000
    """Decisions after which the evidence is also counted anew, after a sixteenth of them where it speaks
    against a challenger, so that a long past does not hide what has turned. Fewer: sooner noticed, if it is
    much; more: smaller differences are found."""
    lowest: float | None = None
    """What a decision earns at least. None: the least of `[reward]` default and the values of its events.
    With `highest` it is what evidence is measured in; rewards beyond are cut to them."""
    highest: float | None = None
    """What a decision earns at most. None: the largest of the same. Closer together: sooner certain."""

    def __post_init__(self) -> None:
        """Refuse what is no number.

        Raises:
            ValueError: a bound, or the margin, is not finite.
        """
        for name in ("margin", "lowest", "highest"):
            value = getattr(self, name)
            if value is not None and not math.isfinite(value):
                raise ValueError(f"{name} is {value}: a finite number is legal")
