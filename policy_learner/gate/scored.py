"""A model, and what it says of the gate's sample: each arm is scored once, when it comes into the sample."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from policy_learner.gate.gate_sample import Rows, Sample
from sidecar.contracts.weights import Weights
from sidecar.policy.exploration import Scores
from sidecar.policy.model import Terms, scores_of_terms


class Scored:
    """Weights, and their scores of a sample that moves on.

    Args:
        weights: as they are served.
    """

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self._shown, self._whole = _Followed(weights), _Followed(weights)

    def shown(self, sample: Sample) -> npt.NDArray[np.float64]:
        """What it expects of the shown arm of each example."""
        return self._shown.scores(sample.shown).astype(np.float64)

    def whole(self, sample: Sample) -> Scores:
        """What it expects of every arm of the examples that are scored whole, one example after the other."""
        return self._whole.scores(sample.whole.arms)


class _Followed:
    """Scores of rows that come at the end and go at the beginning."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self._numbers, self._scores = np.zeros(0, np.int64), np.zeros(0, np.float32)

    def scores(self, rows: Rows) -> Scores:
        known = self._scores[self._gone(rows) :]
        new = Terms(rows.terms.places[len(known) :], rows.terms.values[len(known) :])
        self._scores = np.concatenate((known, scores_of_terms(new, self._weights)))
        self._numbers = rows.numbers.copy()
        return self._scores

    def _gone(self, rows: Rows) -> int:
        """How many of the rows of last time have gone: all of them, if those that stay are not the same."""
        gone = int(np.searchsorted(self._numbers, rows.numbers[0])) if len(rows.numbers) else 0
        stay = self._numbers[gone:]
        return gone if np.array_equal(stay, rows.numbers[: len(stay)]) else len(self._numbers)
