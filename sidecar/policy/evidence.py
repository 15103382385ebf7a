"""Evidence that a mean lies above zero, from sums alone, valid at every moment at which anybody looks.

The test is a bet. For outcomes ``x_i >= -c`` with conditional means ``m_i``, and ``0 <= λ < 1/c``,

    ``product of exp(λ (x_i - m_i) - ψ(λ c) / c² x_i²)``,  ``ψ(s) = -log(1 - s) - s``

is a nonnegative supermartingale that begins at 1, whatever the outcomes depend on, so the chance that it
ever reaches ``1 / error`` is at most ``error`` (Ville). Mixtures of such bets are such bets: here over a grid
of ``λ``, and over how far weights reach (the learner's ``gains.py``), so that nothing has to be tuned or
known. Inverted, it is a confidence sequence for the running average of the means, which may change: policies
learn.

Sources: the supermartingale is of X. Fan, I. Grama and Q. Liu, "Exponential inequalities for martingales with
applications", 2015, Proposition 4.1, with outcomes centred at zero; as a confidence sequence that adapts to
the variance: S. Howard, A. Ramdas, J. McAuliffe and J. Sekhon, "Time-uniform, nonparametric, nonasymptotic
confidence sequences", 2021, Theorem 4; for the values of policies on logged decisions: I. Waudby-Smith,
L. Wu, A. Ramdas, N. Karampatziakis and P. Mineiro, "Anytime-valid off-policy inference for contextual
bandits", 2022.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from msgspec import Struct, field

Floats = npt.NDArray[np.float64]

REACHES = np.array([2.0, 16.0, 128.0])
"""How far weights reach before they are cut; a bet for each, and the bets share the stake."""
FLOORS = REACHES + 1.0
"""Minus these no outcome falls below, in units of the rewards' span."""
_STAKES = 0.9 * 0.5 ** np.arange(12.0)
_GAIN = _STAKES / FLOORS[:, None]
_COST = (-np.log1p(-_STAKES) - _STAKES) / FLOORS[:, None] ** 2
_CUTS, _PARTS = 4, 64


def _zeros() -> list[float]:
    return [0.0] * len(REACHES)


class Sums(Struct):
    """All that a test needs of its outcomes: mergeable, and the order does not matter."""

    count: int = 0
    total: list[float] = field(default_factory=_zeros)
    """Of the outcomes, for each reach."""
    squares: list[float] = field(default_factory=_zeros)

    def add(self, outcomes: Floats) -> None:
        """Take note of outcomes, ``(n_reaches, n)``."""
        squares = (outcomes**2).sum(axis=1)
        self.merge(Sums(outcomes.shape[1], outcomes.sum(axis=1).tolist(), squares.tolist()))

    def merge(self, more: Sums) -> None:
        """Add the sums of other outcomes."""
        self.count += more.count
        self.total = [a + b for a, b in zip(self.total, more.total, strict=True)]
        self.squares = [a + b for a, b in zip(self.squares, more.squares, strict=True)]


def log_evidence(sums: Sums, mean: float = 0.0) -> float:
    """Natural logarithm of the evidence against "the average is ``mean`` or less".

    >>> round(log_evidence(Sums()), 6)
    0.0
    """
    return float(_log_evidences(sums, np.array([mean]))[0])


def lower_bound(sums: Sums, error: float) -> float:
    """The average is above it, at all times together, but for a chance of ``error``; at least -1.

    The evidence falls with the mean that it speaks against, so the interval is cut again and again.
    """
    needed, low, high = -math.log(error), -1.0, 1.0
    for _ in range(_CUTS):
        means = np.linspace(low, high, _PARTS + 1)
        refuted = int(np.count_nonzero(_log_evidences(sums, means) >= needed))
        if refuted == 0:
            return low
        low, high = float(means[refuted - 1]), float(means[min(refuted, _PARTS)])
    return low


def _log_evidences(sums: Sums, means: Floats) -> Floats:
    totals = np.array(sums.total) - sums.count * means[:, None]
    bets = (_GAIN * totals[:, :, None] - _COST * np.array(sums.squares)[:, None]).reshape(len(means), -1)
    top = bets.max(axis=1)
    evidence: Floats = top + np.log(np.exp(bets - top[:, None]).mean(axis=1))
    return evidence
