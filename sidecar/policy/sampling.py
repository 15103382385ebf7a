"""The draw: a pmf and a seed give an arm, the same one for ever."""

from __future__ import annotations

import hashlib
from bisect import bisect_right

import numpy as np
import numpy.typing as npt

from sidecar.contracts.errors import BadExploration

_SECRET_LIMIT_BYTES = 64  # what keyed BLAKE2b takes
_UNIT = 2.0**-53
SUM_TOLERANCE = 1e-9
"""How far a pmf's sum may lie from 1: rounding of some thousand arms is a thousandth of it."""


def seed_of(decision_id: str, secret: bytes) -> int:
    """The 64-bit seed of a decision: a keyed hash, since clients may choose ids and must not choose arms.

    Raises:
        BadExploration: a secret that is empty or longer than 64 bytes.

    >>> seed_of("3-18bcfe5680000000000000000ff", b"secret of the application")
    4779566688030740639
    """
    return _keyed(decision_id, secret, b"sidearm.draw")


def is_kept(name: str, share: float, secret: bytes) -> bool:
    """Whether a decision is among the ``share`` that is logged: always the same answer for the same name.

    It has nothing to do with the draw of its arm, and what is kept at a share is kept at every larger one.

    Raises:
        BadExploration: a secret that is empty or longer than 64 bytes.

    >>> [is_kept("3-18bcfe5680000000000000000ff", share, b"secret") for share in (0.0, 0.1, 0.4, 1.0)]
    [False, False, True, True]
    """
    return (_keyed(name, secret, b"sidearm.keep") >> 11) * _UNIT < share


def coin_of(decision_id: str, secret: bytes) -> float:
    """A number in [0, 1) that names the official model; it has nothing to do with the draw of the arm.

    Raises:
        BadExploration: a secret that is empty or longer than 64 bytes.
    """
    return (_keyed(decision_id, secret, b"sidearm.official") >> 11) * _UNIT


def _keyed(name: str, secret: bytes, person: bytes) -> int:
    if not 0 < len(secret) <= _SECRET_LIMIT_BYTES:
        raise BadExploration(f"secret of {len(secret)} bytes: legal are 1 to {_SECRET_LIMIT_BYTES}")
    digest = hashlib.blake2b(name.encode(), digest_size=8, key=secret, person=person)
    return int.from_bytes(digest.digest(), "little")


def draw(pmf: npt.NDArray[np.float64], seed: int) -> int:
    """The place that ``seed`` picks from ``pmf``, by the inverse of its cumulative sum.

    An arm of probability 0 is never picked: where rounding leaves the sum short of 1, the last arm with a
    positive probability takes what is left.

    Raises:
        BadExploration: a probability that is negative or not a number, or a sum that is not 1.

    >>> [draw(np.array([0.25, 0.0, 0.75]), seed << 61) for seed in range(4)]
    [0, 0, 2, 2]
    """
    return place_in(cumulative_of(pmf), pmf, seed)


def cumulative_of(pmf: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The running sums of a pmf, or of many at once, ``(..., n_arms)``.

    Raises:
        BadExploration: a probability that is negative or not a number, or a sum that is not 1.
    """
    if pmf.shape[-1] > 0 and 0 not in (pmf >= 0.0).tobytes():
        cumulative: npt.NDArray[np.float64] = np.add.accumulate(pmf, axis=-1)
        sums = cumulative[..., -1:].reshape(-1).tolist()
        if max(max(sums) - 1.0, 1.0 - min(sums)) <= SUM_TOLERANCE:
            return cumulative
    raise BadExploration("a pmf is needed: at least one probability, none negative, summing to 1")


def place_in(cumulative: npt.NDArray[np.float64], pmf: npt.NDArray[np.float64], seed: int) -> int:
    """The place that ``seed`` picks, of one pmf and its running sums."""
    place = bisect_right(cumulative, (seed >> 11) * _UNIT)  # less than a call of numpy
    return place if place < len(pmf) else int(np.flatnonzero(pmf)[-1])
