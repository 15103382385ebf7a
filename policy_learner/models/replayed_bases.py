"""The replay's look at base models: each logged score of one is worked out again from its record."""

from __future__ import annotations

from pathlib import Path

from policy_learner.rebase.base_models import BaseModels
from sidecar.contracts.base_model import models_in
from sidecar.contracts.catalogue import Catalogue
from sidecar.contracts.errors import BadWeights, SidearmError
from sidecar.contracts.events import DecisionEvent
from sidecar.contracts.weights import Weights
from sidecar.policy.base import BaseModel, base_column_of_event
from sidecar.policy.held_arms import ArmTables


class ReplayedBases:
    """Base models as decisions name them.

    Args:
        log: root of the application's datasets.
    """

    def __init__(self, log: Path) -> None:
        self._models = BaseModels(log)
        self._read: dict[str, Weights | str] = {}

    def complaint(self, event: DecisionEvent, catalogue: Catalogue, tables: ArmTables) -> str:
        """Why the logged scores of a base model are not its own; empty if they are, or there are none."""
        for feature, name in models_in(event.outcomes).items():
            weights = self._weights(name)
            if isinstance(weights, str):
                return weights
            base = BaseModel(name, feature, weights)
            try:
                again = base_column_of_event(event, catalogue, base, tables)
            except SidearmError as error:
                return str(error)
            if again != event.arm_features.get(feature):
                return f"scored again by base model {name}, {feature} is another"
        return ""

    def _weights(self, name: str) -> Weights | str:
        """A base model, or why there is none."""
        if name not in self._read:
            try:
                self._read[name] = self._models.read(name) or f"base model {name} is gone"
            except BadWeights as error:
                self._read[name] = str(error)
        return self._read[name]
