"""What a score means: the calibrated expectation, and the rank among the scores of what was shown.

A score is the model's own idea of the reward. The **calibrator** says what came of arms with such a score;
the **ECDF** says how such a score compares with those shown lately. Both are monotone, so neither changes
which arm is best. Applying is done here; fitting in ``curves.py``, on predictions from before the model
learnt from the decision that they are of (``calibrating.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

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
    return _along(_pieces(calibration.calibrator, None), scores)


def ranks_of(scores: Float32s, calibration: Calibration) -> Float32s:
    """The share of arms shown lately that were scored no higher, 0 to 1: linear between the ECDF's points.

    Below its first point nothing was seen: 0. Args as those of :func:`expected_of`.
    """
    return _along(_pieces(calibration.ecdf, 0.0), scores)


def scores_at(calibration: Calibration, shares: Sequence[float]) -> Float32s:
    """The scores at or below which such shares of the arms shown lately were scored; each once, ascending."""
    x, y = calibration.ecdf.points
    places = np.minimum(np.searchsorted(y, np.array(shares, np.float32)), len(x) - 1)
    return np.unique(x[places])


class _Pieces(NamedTuple):
    """A curve cut at its points: below the first, between each two, from the last on."""

    ends: npt.NDArray[np.float64]
    """Its points' scores, ``(n_points,)``."""
    lines: npt.NDArray[np.float64]
    """Of each piece, ``(5, n_points + 1)``: where it begins, its width, and its value there, its rise and its
    value at the end."""


@lru_cache(maxsize=16)
def _pieces(curve: Curve, below: float | None) -> _Pieces:
    """Worked out once for each version; ``below`` its first point it is that, or level."""
    x, y = (points.astype(np.float64) for points in curve.points)
    start, width = np.concatenate((x[:1], x)), np.concatenate(([1.0], np.diff(x), [1.0]))
    value, end = np.concatenate((y[:1], y)), np.concatenate((y, y[-1:]))
    if below is not None:
        value[0] = end[0] = below
    return _Pieces(x, np.stack((start, width, value, end - value, end)))


def _along(pieces: _Pieces, scores: Float32s) -> Float32s:
    """A value depends on its own score alone, and never falls as the score grows, to the last bit."""
    start, width, value, rise, end = pieces.lines[:, np.searchsorted(pieces.ends, scores, side="right")]
    along = (scores - start) / width * rise + value
    capped: Float32s = np.minimum(along, end).astype(np.float32)  # rounding may lift it above its end
    return capped
