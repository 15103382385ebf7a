"""The model: a linear score over hashed features and their products; Vowpal Wabbit's, without Vowpal Wabbit.

Every sum is made term after term in float64, so adding a padding zero changes no bit: an arm's score is the
same alone, among other arms, and in any batch. (numpy's own ``sum`` groups terms by the shape at hand, and
BLAS by the machine too.) The result is rounded once, to float32: that is the score that is served.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from sidecar.contracts.hashing import CONSTANT_HASH
from sidecar.contracts.weights import Weights
from sidecar.policy.adapters import RowInput
from sidecar.policy.arm_table import ArmTable
from sidecar.policy.features import ContextInput, HashArray, Magnitudes

PRIME = 16_777_619
"""With which the hash of a product is made of the hashes of two features."""
_CONSTANT = (np.array([CONSTANT_HASH]), np.ones(1))
_BLOCK_TERMS = 1 << 18
"""Most terms of one step: beyond it the arrays (2 MiB each) leave the processor's cache anyway."""
_TERMS_AT_ONCE = 1 << 14
"""Added up in one step: 128 KiB."""
Float64s = npt.NDArray[np.float64]
_N = TypeVar("_N", bound=np.generic)


def scores_of(row: RowInput, weights: Weights | None) -> npt.NDArray[np.float32]:
    """The expected reward of every arm, shape ``(n_arms,)``, in arbitrary units: up is good.

    The score is ``w[constant] + sum of w[f] * x[f]`` over the context's and the arm's features ``f`` and over
    the products of features that the weights' interactions name. Without weights all scores are zero.
    """
    if weights is None:
        return np.zeros(len(row.arms.hashes), np.float32)
    return scores_by(Scorer(weights), row)


def scores_by(scorer: Scorer, row: RowInput) -> npt.NDArray[np.float32]:
    """The scores that ``scorer`` gives: ``(n_arms,)``, or of many models ``(n_arms, n_models)``."""
    shared = scorer.shared(row.context)
    width = row.arms.hashes.shape[1]
    if len(row.arms.hashes) * scorer.terms(row.context, width) <= _BLOCK_TERMS:
        scores = shared + scorer.own(row.arms) + scorer.between(row)
    else:
        scores = _in_blocks(row, scorer, shared)
    return (scores + 0.0).astype(np.float32)  # no -0.0: its sign would depend on padding


class Terms(NamedTuple):
    """What the scores of some arms add up, for a model that scores the same arms again and again."""

    places: npt.NDArray[np.int32]
    """In the table of weights, ``(n_arms, n_terms)``."""
    values: Magnitudes
    """What they are multiplied with, ``(n_arms, n_terms)``."""


def count_terms(row: RowInput, interactions: Sequence[str]) -> int:
    """How many terms :func:`terms_of` gives, of all arms together."""
    n_arms, n_features, width = len(row.arms.ids), len(row.context.hashes), int(row.arms.hashes.shape[1])
    shared = 1 + n_features + (n_features * (n_features + 1) // 2 if "cc" in interactions else 0)
    return n_arms * (shared + terms_of_an_arm(interactions, n_features, width))


def terms_of(row: RowInput, bits: int, interactions: Sequence[str]) -> Terms:
    """All terms of every arm's score under weights with such a header."""
    context, arms = row
    parts: list[tuple[HashArray, Magnitudes]] = [_CONSTANT, context]
    parts += [_with_itself(*context)] if "cc" in interactions else []
    parts += [(arms.hashes, arms.values)]
    parts += [_with_itself(arms.hashes, arms.values)] if "aa" in interactions else []
    parts += [_crossed(context, arms)] if "ca" in interactions else []
    ends = list(accumulate([part[0].shape[-1] for part in parts], initial=0))
    places, values = (np.empty((len(arms.ids), ends[-1]), kind) for kind in (np.int32, np.float64))
    mask = (1 << bits) - 1
    for part, start, end in zip(parts, ends, ends[1:], strict=False):  # what arms share, each of them gets
        places[:, start:end], values[:, start:end] = part[0] & mask, part[1]
    return Terms(places, values)


def scores_of_terms(terms: Terms, weights: Weights) -> npt.NDArray[np.float32]:
    """The scores of arms by their terms, ``(n_arms,)``: what :func:`scores_of` gives, but for rounding.

    In blocks, since a very large array spends its time on the pages of memory that it is given.
    """
    n_arms, width = terms.places.shape
    step = max(1, _TERMS_AT_ONCE // max(1, width))
    scores = np.empty(n_arms, np.float32)
    for start in range(0, n_arms, step):
        block = slice(start, start + step)
        scores[block] = (weights.values.take(terms.places[block]) * terms.values[block]).sum(axis=1)
    return scores


def _in_blocks(row: RowInput, scorer: Scorer, shared: Float64s) -> Float64s:
    """The same, bit for bit, a few arms at a time, each block no wider than its widest arm.

    Padded to one width, a single arm of 256 features among 5,000 plain ones would cost gigabytes and many
    seconds: from a request of 50 kB.
    """
    arms = row.arms
    widths = arms.hashes.shape[1] - (arms.values[:, ::-1] != 0.0).argmax(axis=1)
    order = np.argsort(-widths, kind="stable")
    scores, start = np.empty((len(order), *shared.shape)), 0
    while start < len(order):
        width = int(widths[order[start]])
        places = order[start : start + max(1, _BLOCK_TERMS // scorer.terms(row.context, width))]
        hashes, values = arms.hashes[places, :width], arms.values[places, :width]
        block = RowInput(row.context, ArmTable((), hashes, values))
        scores[places] = shared + scorer.own(block.arms) + scorer.between(block)
        start += len(places)
    return scores


class Scorer:
    """The three parts of a score for one set of weights."""

    shape: tuple[int, ...] = ()
    """Of the scores of one arm."""

    def __init__(self, weights: Weights) -> None:
        self._values = weights.values
        self._mask = (1 << weights.header.bits) - 1
        self.interactions = weights.header.interactions

    @property
    def constant(self) -> Float64s | float:
        """What every arm of every decision has in common."""
        return float(self._values[CONSTANT_HASH & self._mask])

    def terms(self, context: ContextInput, width: int) -> int:
        """How many terms an arm with ``width`` features takes."""
        return terms_of_an_arm(self.interactions, len(context.hashes), width)

    def shared(self, context: ContextInput) -> Float64s:
        """What all arms of a decision have in common."""
        return self.shared_sum(context.hashes, context.values)

    def shared_sum(self, hashes: HashArray, values: Magnitudes) -> Float64s:
        """The same of contexts ``(..., n_features)``."""
        total = self.sum(hashes, values)
        if "cc" in self.interactions:
            total = total + self.sum(*_with_itself(hashes, values))
        return total + self.constant

    def own(self, arms: ArmTable) -> Float64s:
        """What an arm has of its own, whatever the context."""
        return self.own_sum(arms.hashes, arms.values)

    def own_sum(self, hashes: HashArray, values: Magnitudes) -> Float64s:
        """The same of arms ``(..., width)``."""
        total = self.sum(hashes, values)
        if "aa" in self.interactions:
            total = total + self.sum(*_with_itself(hashes, values))
        return total

    def between(self, row: RowInput) -> Float64s | float:
        """What makes the choice depend on the context."""
        if "ca" not in self.interactions:
            return 0.0
        return self.between_sum(*products(*row.context, row.arms.hashes, row.arms.values))

    def between_sum(self, hashes: HashArray, values: Magnitudes) -> Float64s:
        """Weighted magnitudes of :func:`products`, ``(n_terms, ...)``, added up term after term.

        The next term of every sum at once: numpy adds up in the order of the terms where these are no
        neighbours.
        """
        terms: Float64s = np.ascontiguousarray(self._terms(hashes, values))
        if terms.size == len(terms) > 0:
            last: Float64s = np.add.accumulate(terms, axis=0)[-1]
            return last
        total: Float64s = np.add.reduce(terms, axis=0)
        return total

    def sum(self, hashes: HashArray, values: Magnitudes) -> Float64s:
        """Likewise of terms ``(..., n_terms)``."""
        return self.between_sum(_last_first(hashes), _last_first(values))

    def _terms(self, hashes: HashArray, values: Magnitudes) -> Float64s:
        """Weighted magnitudes."""
        terms: Float64s = self._values.take(hashes & self._mask) * values
        return terms


def terms_of_an_arm(interactions: Collection[str], n_features: int, width: int) -> int:
    """How many terms depend on the arm, where the context has ``n_features`` and the arm ``width``."""
    crossed = n_features * width if "ca" in interactions else 0
    squared = width * (width + 1) // 2 if "aa" in interactions else 0
    return width + crossed + squared


def products(
    context_hashes: HashArray, context_values: Magnitudes, arm_hashes: HashArray, arm_values: Magnitudes
) -> tuple[HashArray, Magnitudes]:
    """All products of a feature of contexts ``(..., n_features)`` and one of arms ``(..., n_arms, width)``.

    Both arrays ``(n_features * width, ..., n_arms)``: the same product of all contexts and arms lies
    together, so that numpy's steps are long.
    """
    n_arms, width = arm_hashes.shape[-2:]
    shape = (context_hashes.shape[-1] * width, *context_hashes.shape[:-1], n_arms)
    hashes = _of_each_arm(context_hashes * PRIME, n_arms) ^ np.ascontiguousarray(_last_first(arm_hashes))
    values = _of_each_arm(context_values, n_arms) * np.ascontiguousarray(_last_first(arm_values))
    return hashes.reshape(shape), values.reshape(shape)


def _of_each_arm(contexts: npt.NDArray[_N], n_arms: int) -> npt.NDArray[_N]:
    """Features of contexts ``(..., n_features)`` beside those of arms: ``(n_features, 1, ..., n_arms)``.

    Of one context a number each is enough, which numpy does not have to read again and again.
    """
    found = _last_first(contexts)[:, None, ..., None]
    return found if contexts.ndim == 1 else found.repeat(n_arms, -1)


def _last_first(array: npt.NDArray[_N]) -> npt.NDArray[_N]:
    """With the last axis before the others."""
    return array.transpose(-1, *range(array.ndim - 1))


def _crossed(context: ContextInput, arms: ArmTable) -> tuple[HashArray, Magnitudes]:
    """All products of a feature of the context and one of the arm, ``(n_arms, n_features * width)``."""
    shape = (len(arms.hashes), len(context.hashes) * arms.hashes.shape[1])
    hashes = (context.hashes * PRIME)[:, None] ^ arms.hashes[:, None, :]
    values = context.values[:, None] * arms.values[:, None, :]
    return hashes.reshape(shape), values.reshape(shape)


def _with_itself(hashes: HashArray, values: Magnitudes) -> tuple[HashArray, Magnitudes]:
    """All products of two features of one namespace, each unordered pair once, squares included (VW's -q)."""
    first, second = _pairs(hashes.shape[-1])
    crossed = (hashes[..., first] * PRIME) ^ hashes[..., second]
    return crossed, values[..., first] * values[..., second]


@lru_cache(maxsize=256)
def _pairs(width: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    first, second = np.triu_indices(width)
    return first, second
