"""The gate before a publish: weights that are not finite, not bounded or not the trainer's stay here."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from policy_learner.learning.trainer import Example
from policy_learner.learning.trainers import AnyTrainer
from sidecar.contracts.events import features_of
from sidecar.contracts.learner_report import Verdict
from sidecar.contracts.weights import Weights, WeightValues
from sidecar.policy.adapters import RowInput
from sidecar.policy.arm_table import ArmTable, compile_arms
from sidecar.policy.exploration import Scores
from sidecar.policy.features import compile_context
from sidecar.policy.model import scores_of


def judge_values(values: WeightValues, largest_allowed: float) -> Verdict:
    """Whether the weights are numbers, and of a legal size."""
    not_finite = int(np.count_nonzero(~np.isfinite(values)))
    largest = float(np.abs(values).max()) if not not_finite else float("nan")
    reason = ""
    if not_finite:
        reason = f"{not_finite} of {len(values)} weights are not finite"
    elif largest > largest_allowed:
        reason = f"largest weight is {largest:g}; legal are up to {largest_allowed:g}"
    return Verdict(not reason, reason, not_finite, largest, 0.0, 0)


def judge_parity(
    before: Verdict, weights: Weights, trainer: AnyTrainer, sample: Sequence[Example], tolerance: float
) -> Verdict:
    """Whether the sidecar's score of every arm of the sample is the trainer's prediction."""
    absolute = Weights(weights.header, np.abs(weights.values))
    tables: dict[int, ArmTable] = {}
    worst = 0.0
    for example, predicted in zip(sample, trainer.predict_each(sample), strict=True):
        if id(example.arms) not in tables:  # decisions of one catalogue have the same arms
            tables[id(example.arms)] = compile_arms(example.arms)
        row = RowInput(compile_context(features_of(example.event)), tables[id(example.arms)])
        worst = max(worst, disparity(row, weights, absolute, predicted))
    reason = "" if worst <= tolerance else f"sidecar and trainer differ by {worst:g}; legal is {tolerance:g}"
    return Verdict(not reason, reason, before.not_finite, before.largest_weight, worst, len(sample))


def disparity(row: RowInput, weights: Weights, absolute: Weights, predicted: Scores) -> float:
    """Largest |sidecar − trainer| / (1 + Σ|w·x|) over a decision's arms; infinite if one is no number.

    Args:
        row: the decision.
        weights: as they would be served.
        absolute: their absolute values.
        predicted: the trainer's own scores.
    """
    ours, theirs = scores_of(row, weights).astype(np.float64), predicted.astype(np.float64)
    worst = float(np.max(np.abs(ours - theirs) / (1.0 + scores_of(_absolute(row), absolute))))
    return worst if np.isfinite(worst) else float("inf")


def _absolute(row: RowInput) -> RowInput:
    """The row with which the absolute weights give Σ|w·x|."""
    arms = ArmTable(row.arms.ids, row.arms.hashes, np.abs(row.arms.values))
    return RowInput(row.context._replace(values=np.abs(row.context.values)), arms)
