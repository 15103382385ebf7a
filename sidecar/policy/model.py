"""The model: a linear score over hashed features and their products; Vowpal Wabbit's, without Vowpal Wabbit.

Every sum is made term after term in float64, so adding a padding zero changes no bit: an arm's score is the
same alone, among other arms, and in any batch. (numpy's own ``sum`` groups terms by the shape at hand, and
BLAS by the machine too.) The result is rounded once, to float32: that is the score that is served.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from sidecar.contracts.hashing import CONSTANT_HASH
from sidecar.contracts.weights import Weights
from sidecar.policy.adapters import ArmTable, ContextInput, HashArray, Magnitudes, RowInput

_PRIME = 16_777_619
Float64s = npt.NDArray[np.float64]


def scores_of(row: RowInput, weights: Weights | None) -> npt.NDArray[np.float32]:
    """The expected reward of every arm, shape ``(n_arms,)``, in arbitrary units: up is good.

    The score is ``w[constant] + sum of w[f] * x[f]`` over the context's and the arm's features ``f`` and over
    the products of features that the weights' interactions name. Without weights all scores are zero.
    """
    if weights is None:
        return np.zeros(len(row.arms.ids), np.float32)
    score = _Scorer(weights)
    return (score.shared(row.context) + score.own(row.arms) + score.between(row)).astype(np.float32)


class _Scorer:
    """The three parts of a score for one set of weights."""

    def __init__(self, weights: Weights) -> None:
        self._values = weights.values
        self._mask = (1 << weights.header.bits) - 1
        self._interactions = weights.header.interactions

    def shared(self, context: ContextInput) -> Float64s:
        """What all arms of a decision have in common."""
        total = self._sum(context.hashes, context.values)
        if "cc" in self._interactions:
            total = total + self._sum(*_with_itself(*context))
        return total + float(self._values[CONSTANT_HASH & self._mask])

    def own(self, arms: ArmTable) -> Float64s:
        """What an arm has of its own, whatever the context."""
        total = self._sum(arms.hashes, arms.values)
        if "aa" in self._interactions:
            total = total + self._sum(*_with_itself(arms.hashes, arms.values))
        return total

    def between(self, row: RowInput) -> Float64s | float:
        """What makes the choice depend on the context."""
        if "ca" not in self._interactions:
            return 0.0
        context, arms = row
        shape = (len(arms.ids), len(context.hashes) * arms.hashes.shape[1])
        hashes = (context.hashes * _PRIME)[:, None] ^ arms.hashes[:, None, :]
        values = context.values[:, None] * arms.values[:, None, :]
        return self._sum(hashes.reshape(shape), values.reshape(shape))

    def _sum(self, hashes: HashArray, values: Magnitudes) -> Float64s:
        if hashes.shape[-1] == 0:
            return np.zeros(hashes.shape[:-1])
        terms: Float64s = self._values.take(hashes & self._mask) * values
        running: Float64s = np.add.accumulate(terms, axis=-1)
        return running[..., -1]


def _with_itself(hashes: HashArray, values: Magnitudes) -> tuple[HashArray, Magnitudes]:
    """All products of two features of one namespace, each unordered pair once, squares included (VW's -q)."""
    first, second = _pairs(hashes.shape[-1])
    crossed = (hashes[..., first] * _PRIME) ^ hashes[..., second]
    return crossed, values[..., first] * values[..., second]


@lru_cache(maxsize=256)
def _pairs(width: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    first, second = np.triu_indices(width)
    return first, second
