"""The base model's stage: its score of each arm becomes a feature of the arm, before the model that decides.

The base model sees what the deciding one sees, but for that feature itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec
import numpy as np

from sidecar.contracts.application import Catalogue, Features
from sidecar.contracts.arm_features import Column
from sidecar.contracts.events import DecisionEvent
from sidecar.contracts.weights import Weights
from sidecar.contracts.wire import BaseScores, ScoreRow
from sidecar.policy.adapters import (
    MAGNITUDE_LIMIT,
    ArmTable,
    ArmTables,
    RowInput,
    compile_context,
    own_arms,
    own_arms_of_event,
    with_columns,
)
from sidecar.policy.model import scores_of


class BaseModel(NamedTuple):
    """A base model, as it is served."""

    name: str
    """As ``contracts.base_model`` names it."""
    feature: str
    """Of its scores."""
    weights: Weights


def with_base(row: ScoreRow, table: ArmTable | None, base: BaseModel) -> ScoreRow:
    """A row whose arms have the base model's score among their features.

    Raises:
        NothingToScore, UnknownCatalogue, BadEvent: as the in-adapter.
    """
    column = _column(row.context, own_arms(row, table), row.arm_features, base)
    return msgspec.structs.replace(row, arm_features={**row.arm_features, base.feature: column})


def base_scores(rows: tuple[ScoreRow, ...], base: BaseModel) -> BaseScores:
    """What goes back of rows that :func:`with_base` made."""
    columns = [row.arm_features[base.feature] for row in rows]
    return BaseScores(base.name, base.feature, tuple([one for one in columns if isinstance(one, bytes)]))


def base_column_of_event(
    event: DecisionEvent, catalogue: Catalogue, base: BaseModel, tables: ArmTables
) -> bytes:
    """The column that the base model gave a logged decision, worked out again: the same bytes.

    Raises:
        BadEvent: ``catalogue`` is not the one that the event names, or a column is broken.
    """
    return _column(event.context, own_arms_of_event(event, catalogue, tables), event.arm_features, base)


def _column(context: Features, arms: ArmTable, fetched: Mapping[str, Column], base: BaseModel) -> bytes:
    others = {name: column for name, column in fetched.items() if name != base.feature}
    scores = scores_of(RowInput(compile_context(context), with_columns(arms, others)), base.weights)
    limited = np.clip(scores, -MAGNITUDE_LIMIT, MAGNITUDE_LIMIT)  # beyond it no feature is taken
    return limited.astype("<f4").tobytes()
