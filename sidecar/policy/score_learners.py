"""Calibrator and ECDF as learners: what the live learner does example by example, over a table.

``predicted`` is what would have been told at each row: by the curves of the last fit before it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from sidecar.contracts.calibration import Calibration
from sidecar.policy.calibrating import Calibrating, next_fit
from sidecar.policy.calibration import Float32s, expected_of, ranks_of
from sidecar.policy.learning import Fitted, Table, columns_of, numbers_of, rows_of, with_column

_UNKNOWN_RANK = np.float32(0.5)

_Told = Callable[[Float32s, Calibration | None], Float32s]


class ScoreParams(NamedTuple):
    """Which columns are read, and which one is added."""

    column: str
    score: str = "score"
    reward: str = "reward"
    """Read by the calibrator."""
    weight: str = ""
    """How many rows each stands for; empty: one."""


def fit_calibrator(table: Table, params: ScoreParams) -> Fitted:
    """The reward to be expected at a score; before the first fit, the score itself.

    Raises:
        BadTable: see :class:`sidecar.policy.learning.Learner`.
    """
    (rewards,) = numbers_of(table, params.reward)
    return _fit("calibrator", table, params, rewards, _expected)


def fit_ecdf(table: Table, params: ScoreParams) -> Fitted:
    """The share of the latest scores that are no higher; before the first fit, one half.

    Raises:
        BadTable: see :class:`sidecar.policy.learning.Learner`.
    """
    return _fit("ECDF", table, params, np.zeros(rows_of(table)), _ranks)


def _expected(scores: Float32s, calibration: Calibration | None) -> Float32s:
    return expected_of(scores, calibration) if calibration else scores


def _ranks(scores: Float32s, calibration: Calibration | None) -> Float32s:
    return ranks_of(scores, calibration) if calibration else np.full(scores.shape, _UNKNOWN_RANK)


def _fit(name: str, table: Table, params: ScoreParams, rewards: np.ndarray, told: _Told) -> Fitted:
    (scores,) = numbers_of(table, params.score)
    weights = numbers_of(table, params.weight)[0] if params.weight else np.ones(len(scores))
    calibrating, foreseen, start = Calibrating(), [_single(scores[:0])], 0
    while start < len(scores):
        end = start + next_fit(calibrating.seen) - calibrating.seen
        foreseen.append(told(_single(scores[start:end]), calibrating.current))
        calibrating.observe(scores[start:end], rewards[start:end], weights[start:end])
        start = end
    calibration = calibrating.current

    def predict(given: Table) -> Table:
        (asked,) = columns_of(given, params.score)
        return with_column(given, params.column, told(_single(asked), calibration))

    predicted = with_column(table, params.column, np.concatenate(foreseen))
    fitted_on = calibration.examples if calibration else 0
    return Fitted(predict, predicted, {"learner": name, "rows": len(scores), "fitted_on": fitted_on})


def _single(scores: np.ndarray) -> Float32s:
    return scores.astype(np.float32)
