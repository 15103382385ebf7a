"""The base model's traces: its name, and what a decision says of it.

A base model is a weights record that changes rarely. The sidecar scores with it too, and its score of an arm
is a feature of that arm for the model that decides: a column among the decision's ``arm_features``, so that
whoever learns from the decision or scores it again finds it there, and needs no base model. The decision's
``outcomes`` say under the column's name which model it was.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import msgspec
from msgspec import Struct

from sidecar.contracts.events import DecisionEvent
from sidecar.contracts.wire import ScoreResponse

_NAME_DIGITS = 16
_OUTCOME = "base "


class BaseColumn(Struct, frozen=True):
    """What a base model said of a decision's arms."""

    model: str
    """Its name."""
    feature: str
    """Under which its scores are features."""
    scores: bytes
    """float32 little-endian, one per eligible arm: a column of ``arm_features`` as it is."""

    @property
    def outcome(self) -> str:
        """How the feature was had, for the decision's ``outcomes``."""
        return _OUTCOME + self.model


def name_of(record: bytes) -> str:
    """A base model is named by its content: the first digits of its record's sha256."""
    return hashlib.sha256(record).hexdigest()[:_NAME_DIGITS]


def models_in(outcomes: Mapping[str, str]) -> dict[str, str]:
    """Feature to base model, for the features of a decision that are a base model's scores.

    >>> models_in({"device": "given", "base_score": "base 00c0ffee00c0ffee"})
    {'base_score': '00c0ffee00c0ffee'}
    """
    return {
        feature: said.removeprefix(_OUTCOME)
        for feature, said in outcomes.items()
        if said.startswith(_OUTCOME)
    }


def without_base(event: DecisionEvent) -> DecisionEvent:
    """A decision as it was before a base model's score was added: what the base model itself learns from."""
    added = models_in(event.outcomes)
    if not added:
        return event
    kept = {name: column for name, column in event.arm_features.items() if name not in added}
    outcomes = {name: said for name, said in event.outcomes.items() if name not in added}
    return msgspec.structs.replace(event, arm_features=kept, outcomes=outcomes)


def columns_of(response: ScoreResponse) -> list[BaseColumn | None]:
    """What the base model said of each row of a response; None everywhere where there is no base model."""
    base = response.base
    if base is None:
        return [None] * len(response.rows)
    return [BaseColumn(base.model, base.feature, column) for column in base.columns]
