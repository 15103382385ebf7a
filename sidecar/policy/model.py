"""The model: a linear score over hashed features and their products; Vowpal Wabbit's, without Vowpal Wabbit.

Every sum is made term after term in float64, so adding a padding zero changes no bit: an arm's score is the
same alone, among other arms, and in any batch. (numpy's own ``sum`` groups terms by the shape at hand, and
BLAS by the machine too.) The result is rounded once, to float32: that is the score that is served.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from sidecar.contracts.hashing import CONSTANT_HASH
from sidecar.contracts.weights import Weights
from sidecar.policy.adapters import ArmTable, ContextInput, HashArray, Magnitudes, RowInput

_PRIME = 16_777_619
_BLOCK_TERMS = 1 << 18
"""Most terms of one step: beyond it the arrays (2 MiB each) leave the processor's cache anyway."""
Float64s = npt.NDArray[np.float64]


def scores_of(row: RowInput, weights: Weights | None) -> npt.NDArray[np.float32]:
    """The expected reward of every arm, shape ``(n_arms,)``, in arbitrary units: up is good.

    The score is ``w[constant] + sum of w[f] * x[f]`` over the context's and the arm's features ``f`` and over
    the products of features that the weights' interactions name. Without weights all scores are zero.
    """
    if weights is None:
        return np.zeros(len(row.arms.ids), np.float32)
    scorer = _Scorer(weights)
    shared = scorer.shared(row.context)
    width = row.arms.hashes.shape[1]
    if len(row.arms.ids) * scorer.terms(row.context, width) <= _BLOCK_TERMS:
        scores = shared + scorer.own(row.arms) + scorer.between(row)
    else:
        scores = _in_blocks(row, scorer, shared)
    return (scores + 0.0).astype(np.float32)  # no -0.0: its sign would depend on padding


def scores_of_many(rows: Sequence[RowInput], weights: Weights) -> list[npt.NDArray[np.float32]]:
    """:func:`scores_of` of every row, to the last bit; rows of one shape take their steps together.

    For many small rows: most of the time of a small one goes into calling numpy.
    """
    scorer = _Scorer(weights)
    shapes: dict[tuple[int, tuple[int, ...]], list[int]] = {}
    for place, (context, arms) in enumerate(rows):
        shapes.setdefault((len(context.hashes), arms.hashes.shape), []).append(place)
    scores: dict[int, npt.NDArray[np.float32]] = {}
    for (_, (n_arms, width)), places in shapes.items():
        at_once = _BLOCK_TERMS // (n_arms * scorer.terms(rows[places[0]].context, width))
        if at_once < 2:
            scores |= {place: scores_of(rows[place], weights) for place in places}
            continue
        for start in range(0, len(places), at_once):
            some = places[start : start + at_once]
            scores |= zip(some, _in_step(scorer, [rows[place] for place in some]), strict=True)
    return [scores[place] for place in range(len(rows))]


def _in_step(scorer: _Scorer, rows: Sequence[RowInput]) -> npt.NDArray[np.float32]:
    """Scores of rows of one shape, ``(n_rows, n_arms)``."""
    context = ContextInput(
        np.stack([row.context.hashes for row in rows]), np.stack([row.context.values for row in rows])
    )
    arms = ArmTable(
        (), np.stack([row.arms.hashes for row in rows]), np.stack([row.arms.values for row in rows])
    )
    shared = np.asarray(scorer.shared(context))[..., None]
    scores = shared + scorer.own(arms) + scorer.between(RowInput(context, arms))
    return (scores + 0.0).astype(np.float32)


def _in_blocks(row: RowInput, scorer: _Scorer, shared: Float64s) -> Float64s:
    """The same, bit for bit, a few arms at a time, each block no wider than its widest arm.

    Padded to one width, a single arm of 256 features among 5,000 plain ones would cost gigabytes and many
    seconds: from a request of 50 kB.
    """
    arms = row.arms
    widths = arms.hashes.shape[1] - (arms.values[:, ::-1] != 0.0).argmax(axis=1)
    order = np.argsort(-widths, kind="stable")
    scores, start = np.empty(len(order)), 0
    while start < len(order):
        width = int(widths[order[start]])
        places = order[start : start + max(1, _BLOCK_TERMS // scorer.terms(row.context, width))]
        hashes, values = arms.hashes[places, :width], arms.values[places, :width]
        block = RowInput(
            row.context, ArmTable(tuple([arms.ids[place] for place in places]), hashes, values, ())
        )
        scores[places] = shared + scorer.own(block.arms) + scorer.between(block)
        start += len(places)
    return scores


class _Scorer:
    """The three parts of a score for one set of weights."""

    def __init__(self, weights: Weights) -> None:
        self._values = weights.values
        self._mask = (1 << weights.header.bits) - 1
        self._interactions = weights.header.interactions

    def terms(self, context: ContextInput, width: int) -> int:
        """How many terms the sum of an arm with ``width`` features has."""
        crossed = len(context.hashes) * width if "ca" in self._interactions else 0
        squared = width * (width + 1) // 2 if "aa" in self._interactions else 0
        return width + crossed + squared

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
        shape = (*arms.hashes.shape[:-1], context.hashes.shape[-1] * arms.hashes.shape[-1])
        hashes = (context.hashes * _PRIME)[..., None, :, None] ^ arms.hashes[..., :, None, :]
        values = context.values[..., None, :, None] * arms.values[..., :, None, :]
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
