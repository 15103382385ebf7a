"""The base model: its score of each arm is a feature of the arm for the model that decides.

The base model sees what the deciding one sees, but for that feature itself.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sidecar.contracts.catalogue import Catalogue
from sidecar.contracts.events import DecisionEvent, features_of
from sidecar.contracts.weights import Weights
from sidecar.policy.adapters import RowInput, own_arms_of_event
from sidecar.policy.arm_columns import with_columns
from sidecar.policy.features import MAGNITUDE_LIMIT, compile_context
from sidecar.policy.held_arms import ArmTables
from sidecar.policy.model import scores_of


class BaseModel(NamedTuple):
    """A base model, as it is served."""

    name: str
    """As ``contracts.base_model`` names it."""
    feature: str
    """Of its scores."""
    weights: Weights


def base_column_of_event(
    event: DecisionEvent, catalogue: Catalogue, base: BaseModel, tables: ArmTables
) -> bytes:
    """The column that the base model gave a logged decision, worked out again: the same bytes.

    Raises:
        BadEvent: ``catalogue`` is not the one that the event names, or a column is broken.
    """
    others = {name: column for name, column in event.arm_features.items() if name != base.feature}
    arms = with_columns(own_arms_of_event(event, catalogue, tables), others)
    return limited(scores_of(RowInput(compile_context(features_of(event)), arms), base.weights)).tobytes()


def limited(scores: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """A base model's scores as a feature: beyond the limit none is taken."""
    return np.clip(scores, -MAGNITUDE_LIMIT, MAGNITUDE_LIMIT).astype("<f4")
