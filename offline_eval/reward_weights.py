"""A trained model's scores as the reward model: what VW learnt, by the code that serves.

Not cross-fitted, but by time: weights know nothing of decisions after the last one that they were trained on.
Evaluated on others, they have seen the answers, and that is said.
"""

from __future__ import annotations

import datetime as dt

import numpy as np

from offline_eval.batches import Batch
from offline_eval.dataset import VIEW, Log
from offline_eval.engine import literal
from offline_eval.terms import Floats
from sidecar.contracts.catalogue import Catalogue
from sidecar.contracts.weights import Weights
from sidecar.policy.held_arms import ArmTables
from sidecar.policy.pipeline import scores_of_event


class WeightsModel:
    """Expects of every arm what the weights score it.

    Args:
        weights: trained to predict rewards, as the learner's are.
        log: that is evaluated on.
        status: of its rows that are.
    """

    needs_events = True

    def __init__(self, weights: Weights, log: Log, status: str) -> None:
        self.name = f"version {weights.header.version}"
        self.caution = _seen(weights, log, status)
        self.bounds = reward_bounds(log, status)
        self._weights = weights
        self._tables = ArmTables()
        self._catalogues: dict[str, Catalogue] = {}

    def expected(self, batch: Batch, key: str) -> Floats:
        """(m,) scores of every eligible arm, cut to the rewards that there are."""
        rows = [
            scores_of_event(event, self._catalogue(event.catalogue, batch), self._weights, self._tables)
            for event in batch.events
        ]
        flat = np.concatenate(rows) if rows else np.zeros(0)
        answers: Floats = np.clip(flat.astype(np.float64), *self.bounds)
        return answers

    def _catalogue(self, version: str, batch: Batch) -> Catalogue:
        if version not in self._catalogues:
            self._catalogues[version] = batch.log.catalogue(version)
        return self._catalogues[version]


def _seen(weights: Weights, log: Log, status: str) -> str:
    until = dt.datetime.fromtimestamp(weights.header.trained_until_ms / 1000, dt.UTC)
    (row,) = log.connection.execute(f"""
        SELECT count(*) FROM {VIEW} WHERE status = {literal(status)}
        AND decided_at <= CAST({literal(until.isoformat())} AS TIMESTAMPTZ)""").fetchall()  # noqa: S608 - ours
    return f"the reward model may have learnt from {row[0]:,} of the rows it is asked about" if row[0] else ""


def reward_bounds(log: Log, status: str) -> tuple[float, float]:
    """The smallest and the largest reward of the rows of one status; zeros without any."""
    (row,) = log.connection.execute(
        f"SELECT min(reward), max(reward) FROM {VIEW} WHERE status = {literal(status)}"  # noqa: S608 - ours
    ).fetchall()
    return (0.0, 0.0) if row[0] is None else (float(row[0]), float(row[1]))
