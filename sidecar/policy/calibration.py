"""What a score means: the calibrated expectation, and the rank among the scores of what was shown.

A score is the model's own idea of the reward. The **calibrator** says what came of arms with such a score;
the **ECDF** says how such a score compares with those shown lately. Both are monotone, so neither changes
which arm is best. Applying is done here; fitting in ``curves.py``, on predictions from before the model
learnt from the decision that they are of (``calibrating.py``).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sidecar.contracts.calibration import Calibration, Curve

Float32s = npt.NDArray[np.float32]


def expected_of(scores: Float32s, calibration: Calibration) -> Float32s:
    """The reward to be expected at each score: linear between the calibrator's points, level beyond its ends.

    Args:
        scores: finite, of any shape.
        calibration: of the weights that gave them.

    >>> from sidecar.contracts.calibration import curve_of
    >>> line = curve_of(np.array([0.0, 1.0]), np.array([0.0, 0.5]))
    >>> expected_of(np.array([-2, 0.5, 3], np.float32), Calibration(line, line, 100)).tolist()
    [0.0, 0.25, 0.5]
    """
    return _along(calibration.calibrator, scores)


def ranks_of(scores: Float32s, calibration: Calibration) -> Float32s:
    """The share of arms shown lately that were scored no higher, 0 to 1: linear between the ECDF's points.

    Below its first point nothing was seen: 0. Args as those of :func:`expected_of`.
    """
    ranks = _along(calibration.ecdf, scores)
    ranks[scores < calibration.ecdf.points[0][0]] = 0.0
    return ranks


def scores_at(calibration: Calibration, shares: Sequence[float]) -> Float32s:
    """The scores at or below which such shares of the arms shown lately were scored; each once, ascending."""
    x, y = calibration.ecdf.points
    places = np.minimum(np.searchsorted(y, np.array(shares, np.float32)), len(x) - 1)
    return np.unique(x[places])


def _along(curve: Curve, scores: Float32s) -> Float32s:
    """A value depends on its own score alone, and never falls as the score grows, to the last bit."""
    x, y = (points.astype(np.float64) for points in curve.points)
    right = np.searchsorted(x, scores, side="right")
    left = np.maximum(right - 1, 0)
    right = np.minimum(right, len(x) - 1)
    gap = x[right] - x[left]
    share = np.clip((scores - x[left]) / np.where(gap > 0.0, gap, 1.0), 0.0, 1.0)
    value = y[left] + share * (y[right] - y[left])
    return np.minimum(value, y[right]).astype(np.float32)  # rounding may lift it above its right end
