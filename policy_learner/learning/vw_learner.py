"""The VW model as a learner: trained on a table of decisions, scored as the sidecar scores."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from policy_learner.errors import TrainerPoisoned
from policy_learner.learning.trainer import Example, Trainer
from sidecar.contracts.errors import BadEvent, BadTable
from sidecar.contracts.events import features_of
from sidecar.contracts.model_section import ModelConfig
from sidecar.contracts.weights import Weights, WeightsHeader, weights_of
from sidecar.policy.adapters import RowInput
from sidecar.policy.arm_table import compile_arms
from sidecar.policy.features import compile_context
from sidecar.policy.learning import FitLog, Fitted, Table, columns_of, numbers_of, with_column
from sidecar.policy.model import scores_of


class VwParams(NamedTuple):
    """What is trained, and which column is added."""

    model: ModelConfig
    column: str = "score"


def fit_vw(table: Table, params: VwParams) -> Fitted:
    """Score of the arm that was shown, by a linear model trained on the rows in their order.

    Args:
        table: columns ``event`` (decision events), ``arms`` (of each, the eligible arms with the features
            that they were scored with) and ``reward``.
        params: what is trained. ``predicted`` is what VW expected of each row before it learnt from it.

    Raises:
        BadTable: see :class:`sidecar.policy.learning.Learner`; also, a row that would poison the model.
    """
    (rewards,) = numbers_of(table, "reward")
    events, arms = columns_of(table, "event", "arms")
    trainer = Trainer(params.model)
    try:
        foreseen = trainer.learn([Example(*row) for row in zip(events, arms, rewards.tolist(), strict=True)])
    except (BadEvent, TrainerPoisoned) as error:
        raise BadTable(f"a row cannot be learnt from: {error}") from error
    weights = weights_of_trainer(params.model, trainer, len(rewards))
    predicted = with_column(table, params.column, np.array(foreseen.shown, np.float32))
    log: FitLog = {"learner": "VW", "rows": len(rewards), "weights": int(np.count_nonzero(weights.values))}
    return Fitted(lambda given: _scored(given, weights, params.column), predicted, log)


def _scored(table: Table, weights: Weights, column: str) -> Table:
    events, arms = columns_of(table, "event", "arms")
    rows = [
        RowInput(compile_context(features_of(event)), compile_arms((eligible[event.arm_index],)))
        for event, eligible in zip(events, arms, strict=True)
    ]
    scores = [scores_of(row, weights)[0] for row in rows]
    return with_column(table, column, np.array(scores, np.float32))


def weights_of_trainer(model: ModelConfig, trainer: Trainer, examples: int) -> Weights:
    """A trainer's weights as a record of no version: for scoring, not for publishing."""
    header = WeightsHeader(
        version=0,
        bits=model.bits,
        interactions=model.interactions,
        positions=(),
        trained_until_ms=0,
        epoch=0,
        examples=examples,
    )
    return weights_of(header, trainer.weights_values())
