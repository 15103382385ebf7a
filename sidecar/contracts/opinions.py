"""What each model said of a decision: the official one, who could have been it, shadows, and the silent."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from sidecar.contracts.events import DecisionEvent


class Opinion(Struct, frozen=True, kw_only=True):
    """One model's."""

    model: str
    version: int | None
    """Of its weights; negative: in its own container's counting. null: it did not answer."""
    chance: float | None
    """With which it was the official one, given who answered: 0 for a shadow. null: it did not answer."""
    preferred: str | None
    """The arm that it scores highest; null: it scored none."""


def opinions(event: DecisionEvent, ids: Sequence[str]) -> list[Opinion]:
    """Of all models that were asked, the official one first; none where a rule answered.

    Args:
        event: the decision.
        ids: its eligible arms, in their order.
    """
    if event.source == "pre_policy":
        return []
    said = [
        (event.policy, event.model_version, event.official_probability, event.scores),
        *[(one.policy, one.model_version, one.probability, one.scores) for one in event.candidates],
        *[(one.policy, one.model_version, 0.0, one.scores) for one in event.shadows],
    ]
    heard = [
        Opinion(model=model, version=version, chance=chance, preferred=_best(scores, ids))
        for model, version, chance, scores in said
    ]
    return heard + [Opinion(model=one, version=None, chance=None, preferred=None) for one in event.missing]


def _best(scores: bytes, ids: Sequence[str]) -> str | None:
    values = np.frombuffer(scores, "<f4") if len(scores) == 4 * len(ids) else ()
    return ids[int(np.argmax(values))] if len(values) else None
