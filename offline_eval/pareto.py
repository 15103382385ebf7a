"""How heavy the tail of the weights is: the shape k of a Pareto distribution fitted to the largest.

Below 0.5 weights have a variance, below 0.7 an estimate from them settles in practice, above it no number of
rows that one has will do. Aki Vehtari, Daniel Simpson, Andrew Gelman, Yuling Yao, Jonah Gabry: Pareto
Smoothed Importance Sampling, 2015; the fit is Jin Zhang, Michael Stephens: A New and Efficient Estimation
Method for the Generalized Pareto Distribution, 2009.
"""

from __future__ import annotations

import numpy as np

from offline_eval.terms import Floats

_LEAST_TAIL = 25
_LEAST_DISTINCT = 0.5
_PRIOR_ROWS, _PRIOR_K = 10, 0.5


def pareto_k(heaviest: Floats, rows: int) -> float | None:
    """The shape of the tail.

    Args:
        heaviest: the largest weights, falling.
        rows: of the whole.

    Returns:
        k, or None where it means nothing: few rows, or weights of few different values, as those of policies
        without context have.

    >>> pareto_k(np.sort(np.random.default_rng(1).pareto(1 / 0.9, 10_000))[::-1][:1_000], 10_000)
    0.85
    """
    size = min(len(heaviest) - 1, int(0.2 * rows), int(3 * rows**0.5))
    if size < _LEAST_TAIL:
        return None
    tail = np.sort(heaviest[:size] - heaviest[size])
    if len(np.unique(tail)) < _LEAST_DISTINCT * size or tail[0] < 0 or tail[size // 4] <= 0:
        return None
    return _shape(tail[tail > 0])


def _shape(tail: Floats) -> float:
    """Zhang and Stephens' posterior mean of k, drawn a little towards 0.5 as the former paper does."""
    n, grid = len(tail), 30 + int(len(tail) ** 0.5)
    slopes = 1 - np.sqrt(grid / (np.arange(1, grid + 1) - 0.5))
    slopes = slopes / (3 * tail[int(n / 4 + 0.5) - 1]) + 1 / tail[-1]
    shapes = np.log1p(-slopes[:, None] * tail).mean(axis=1)
    heights = n * (np.log(-slopes / shapes) - shapes - 1)
    weights = 1 / np.exp(heights - heights[:, None]).sum(axis=1)
    k = float(np.log1p(-(slopes @ weights) * tail).mean())
    return (n * k + _PRIOR_ROWS * _PRIOR_K) / (n + _PRIOR_ROWS)
