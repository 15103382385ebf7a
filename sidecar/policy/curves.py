"""Calibrator and ECDF fitted: from scores, and what came of them, to monotone curves of few points.

The calibrator is an isotonic regression over bins of equally many rows (R. Barlow, D. Bartholomew,
J. Bremner and H. Brunk, "Statistical Inference under Order Restrictions", 1972; as calibration of a model:
B. Zadrozny and C. Elkan, "Transforming Classifier Scores into Accurate Multiclass Probability Estimates",
2002).

Sums are made in the order of the rows and edges are values of sorted scores, so that the same rows give the
same bits whichever way they were sorted.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sidecar.contracts.calibration import Curve, curve_of

Floats = npt.NDArray[np.float64]
Float32s = npt.NDArray[np.float32]

CALIBRATOR_BINS = 32
ROWS_A_BIN = 32
"""At least: with fewer rows there are fewer bins."""
ECDF_STEPS = 64
EXPECTED_LIMIT = 1e9
"""What the trainer takes as a reward."""


def calibrator_of(scores: Float32s, weights: Floats, moments: Floats) -> Curve:
    """The monotone function of the score that is nearest to the mean rewards of its bins.

    Args:
        scores: finite, ``(n_rows,)``, at least one.
        weights: of the rows, > 0.
        moments: weight times reward.
    """
    edges = _edges(np.sort(scores), min(CALIBRATOR_BINS, max(1, len(scores) // ROWS_A_BIN)))
    bins = np.searchsorted(edges, scores)
    total = _sums(bins, weights)
    middle = _sums(bins, weights * scores)
    came = _sums(bins, moments)
    levels = np.clip(isotonic(came / total, total), -EXPECTED_LIMIT, EXPECTED_LIMIT)
    kept = _corners(levels)
    return curve_of((middle / total)[kept], levels[kept])


def ecdf_of(scores: Float32s, weights: Floats) -> Curve:
    """The share of the weight at or below each score, exact at its points, a 32nd off between them at most.

    That holds at scores that are among ``scores``, of equal weight. Args as those of :func:`calibrator_of`.
    """
    known = np.sort(scores)
    points = _with_eves(known, _edges(known, ECDF_STEPS, lowest=True))
    places = np.searchsorted(points, scores)
    below = np.cumsum(_sums(places, weights))
    return curve_of(points, below / below[-1])


def isotonic(means: Floats, weights: Floats) -> Floats:
    """The never falling values nearest to ``means`` by weighted squares: pool adjacent violators, O(n).

    >>> isotonic(np.array([1.0, 3.0, 2.0, 4.0]), np.array([1.0, 1.0, 3.0, 1.0])).tolist()
    [1.0, 2.25, 2.25, 4.0]
    """
    blocks: list[tuple[float, float, int]] = []
    for mean, weight in zip(means.tolist(), weights.tolist(), strict=True):
        count = 1
        while blocks and blocks[-1][0] >= mean:
            other, heavy, more = blocks.pop()
            mean = other + (mean - other) * (weight / (weight + heavy))
            weight, count = weight + heavy, count + more
        blocks.append((mean, weight, count))
    return np.repeat([mean for mean, _, _ in blocks], [count for _, _, count in blocks])


def _edges(known: Float32s, bins: int, *, lowest: bool = False) -> Float32s:
    """Upper ends of bins of equally many rows; of equal ones one stays."""
    shares = np.arange(0 if lowest else 1, bins + 1)
    return np.unique(known[np.maximum((len(known) * shares + bins - 1) // bins - 1, 0)])


def _with_eves(known: Float32s, points: Float32s) -> Float32s:
    """Before a score that many rows share, the one below it too: else the step would lean over the gap."""
    first = np.searchsorted(known, points)
    many = np.searchsorted(known, points, side="right") - first > len(known) // ECDF_STEPS
    return np.union1d(points, known[first[many & (first > 0)] - 1])


def _corners(levels: Floats) -> npt.NDArray[np.intp]:
    """Places of a level stretch's ends: what is between says nothing."""
    inner = (levels[1:-1] == levels[:-2]) & (levels[1:-1] == levels[2:])
    return np.flatnonzero(np.concatenate(([True], ~inner, [True]))[: len(levels)])


def _sums(bins: npt.NDArray[np.intp], terms: Floats) -> Floats:
    """The terms of each bin, added one after the other."""
    return np.bincount(bins, terms).astype(np.float64, copy=False)
