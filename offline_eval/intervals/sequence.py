"""An asymptotic confidence sequence: an interval that may be looked at every day.

Ian Waudby-Smith, David Arbour, Ritwik Sinha, Edward Kennedy, Aaditya Ramdas: Time-uniform central limit
theory and asymptotic confidence sequences, 2021, Theorem 2.2. With a plain 95 % interval, who looks fifty
times is wrong once far more often than 5 %; here the chance to be wrong at any look ever is at most that, for
rows enough. It needs nothing but moments, so every estimator has it, from the same sums. The learner's own
test of its challengers (``sidecar.policy.evidence``) is another thing: it holds at any number of
rows, for cut weights only, and has one side.
"""

from __future__ import annotations

import math

from offline_eval.estimators.base import Fit, standard_error
from offline_eval.sums import Sums

LOOK_ROWS = 10_000


def sequence(sums: Sums, fit: Fit, level: float = 0.95, look_rows: int = LOOK_ROWS) -> tuple[float, float]:
    """Value ± s sqrt(2 (n c + 1) / (n² c) · ln(sqrt(n c + 1) / a)), where s² / n is the squared error.

    Args:
        sums: that the fit was made of.
        fit: an estimate, or a difference of two.
        level: of all looks together.
        look_rows: where the interval is narrowest, beside the plain one. It has to be the same at every look.
    """
    half = standard_error(sums, fit) * widening(sums.rows, level, look_rows)
    return fit.value - half, fit.value + half


def widening(rows: int, level: float = 0.95, look_rows: int = LOOK_ROWS) -> float:
    """Standard errors to either side after so many rows.

    >>> widening(10_000)
    3.0352
    """
    error = 1 - level
    c = (-2 * math.log(error) + math.log(-2 * math.log(error) + 1)) / look_rows
    spread = rows * c + 1
    return math.sqrt(2 * spread / (rows * c) * math.log(math.sqrt(spread) / error)) if rows else math.inf
