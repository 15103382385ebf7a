"""Calibrator and ECDF as they travel: two monotone curves in the header of a weights record.

A curve is a table of points, float32 little-endian: ``x`` strictly ascending, ``y`` never falling. What it is
between the points and beyond its ends is said where it is applied (``sidecar.policy.calibration``).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from sidecar.contracts.errors import BadWeights

MOST_POINTS = 128
"""Of one curve: a record stays within 2 KB of what it was."""
_VALUE_BYTES = 4

Points = npt.NDArray[np.float32]


class Curve(Struct, frozen=True, array_like=True):
    """A monotone function of the score."""

    x: bytes
    """Scores."""
    y: bytes
    """What they become."""

    @property
    def points(self) -> tuple[Points, Points]:
        """``x`` and ``y``, both of shape ``(n_points,)``."""
        return np.frombuffer(self.x, "<f4"), np.frombuffer(self.y, "<f4")


class Calibration(Struct, frozen=True, array_like=True):
    """What a score means, by what the model foresaw lately and what came of it.

    Evolution: new fields go to the end and have defaults.
    """

    calibrator: Curve
    """Score to the reward to be expected."""
    ecdf: Curve
    """Score to the share of shown arms that were scored no higher: 0 to 1."""
    examples: int
    """Examples that both rest on."""


def curve_of(x: npt.NDArray[np.floating], y: npt.NDArray[np.floating]) -> Curve:
    """A curve through points."""
    return Curve(x.astype("<f4").tobytes(), y.astype("<f4").tobytes())


def check_calibration(calibration: Calibration) -> None:
    """Refuse curves that must not be served.

    Raises:
        BadWeights: no points, too many, not as many x as y, not finite, not ascending, ranks beyond 0 to 1.
    """
    for name, curve in (("calibrator", calibration.calibrator), ("ECDF", calibration.ecdf)):
        _check(name, curve)
    ranks = calibration.ecdf.points[1]
    if ranks[0] < 0.0 or ranks[-1] > 1.0:
        raise BadWeights(f"ECDF from {ranks[0]} to {ranks[-1]}: legal are 0 to 1")


def _check(name: str, curve: Curve) -> None:
    size = len(curve.x)
    if size != len(curve.y) or size % _VALUE_BYTES or not 0 < size <= MOST_POINTS * _VALUE_BYTES:
        raise BadWeights(
            f"{name} of {size} and {len(curve.y)} bytes: legal are as many of both, 4 for each of 1 to "
            f"{MOST_POINTS} points"
        )
    x, y = curve.points
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise BadWeights(f"{name} has points that are not finite")
    if np.any(x[1:] <= x[:-1]) or np.any(y[1:] < y[:-1]):
        raise BadWeights(f"{name} is not monotone: its points must ascend")
