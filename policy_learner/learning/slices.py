"""A slice of a window: sums over examples, of which progressive metrics are made. Slices of parts add up.

Progressive validation: each example is foreseen before it is learnt from, so that all of the stream is a test
set and none of it is lost for training (A. Blum, A. Kalai and J. Langford, "Beating the Hold-Out", 1999).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from msgspec import Struct, field

from policy_learner.learning.vw_format import Foreseen, scores_foreseen
from sidecar.contracts.application import Exploration
from sidecar.policy.exploration import pmf_of

Floats = npt.NDArray[np.float64]

LOG_LOSS_CUT = 0.001
"""Expectations are cut to [0.001, 0.999] before their logarithm: a linear model leaves [0, 1]."""
_BYTES_AT_ONCE = 1 << 18
_LEVEL_BITS = 16
"""Of a float32: sign, exponent and 7 bits of the mantissa. One level is 0.8 % of its value wide."""


class Rows(Struct):
    """Examples that are in no slice yet: a thousand at once cost a tenth of one at a time."""

    foreseen: Foreseen = field(default_factory=lambda: Foreseen([], []))
    reward: list[float] = field(default_factory=list)
    propensity: list[float] = field(default_factory=list)
    inclusion: list[float] = field(default_factory=list)
    """Probability that the decision was kept in the log."""


class Slice(Struct):
    """Sums over some examples. s = 1 / inclusion probability, w = pmf of the policy / propensity, u = s·w."""

    examples: int = 0
    graded: int = 0
    """Rewards that are neither 0 nor 1."""
    squared_error: float = 0.0
    log_loss: float = 0.0
    s: float = 0.0
    sr: float = 0.0
    ss: float = 0.0
    ssr: float = 0.0
    ssrr: float = 0.0
    u: float = 0.0
    ur: float = 0.0
    uu: float = 0.0
    uur: float = 0.0
    uurr: float = 0.0
    usr: float = 0.0
    earned: dict[int, int] = field(default_factory=dict)
    """Level of the expectation to examples with a reward above 0."""
    empty: dict[int, int] = field(default_factory=dict)
    """The same for the others."""


def add(total: Slice, part: Slice) -> None:
    """Make ``total`` the slice of all examples of both."""
    for name in _SUMS:
        setattr(total, name, getattr(total, name) + getattr(part, name))
    for counts, more in ((total.earned, part.earned), (total.empty, part.empty)):
        for level, count in more.items():
            counts[level] = counts.get(level, 0) + count


_SUMS = tuple(name for name in Slice.__struct_fields__ if name not in ("earned", "empty"))


def slice_of(rows: Rows, exploration: Exploration) -> Slice:
    """The slice of some examples. O(1) for each of their arms.

    What overflows a float becomes infinite and says so in the figures; it stops nobody.
    """
    if not rows.reward:
        return Slice()
    reward, propensity, inclusion = (np.array(c) for c in (rows.reward, rows.propensity, rows.inclusion))
    with np.errstate(over="ignore", invalid="ignore"):
        chances = _probabilities(rows.foreseen, exploration)
        return slice_from(np.array(rows.foreseen.shown), reward, chances / propensity, inclusion)


def slice_from(shown: Floats, reward: Floats, weights: Floats, inclusion: Floats) -> Slice:
    """The slice of examples as columns, ``(n,)`` each.

    Args:
        shown: what was expected of the shown arm.
        reward: what came.
        weights: pmf of the policy / propensity, at the shown arm.
        inclusion: probability that the decision was kept in the log.
    """
    levels, is_earned = levels_of(shown), reward > 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        s = 1.0 / inclusion
        u = s * weights
        return Slice(
            examples=len(reward),
            graded=int(np.count_nonzero((reward != 0.0) & (reward != 1.0))),
            squared_error=_sum((shown - reward) ** 2),
            log_loss=_sum(_log_losses(shown, reward)),
            s=_sum(s),
            sr=_sum(s * reward),
            ss=_sum(s * s),
            ssr=_sum(s * s * reward),
            ssrr=_sum((s * reward) ** 2),
            u=_sum(u),
            ur=_sum(u * reward),
            uu=_sum(u * u),
            uur=_sum(u * u * reward),
            uurr=_sum((u * reward) ** 2),
            usr=_sum(u * s * reward),
            earned=_counts(levels[is_earned]),
            empty=_counts(levels[~is_earned]),
        )


def levels_of(expected: Floats) -> npt.NDArray[np.int32]:
    """Expectations as whole numbers in the same order, coarser.

    >>> levels_of(np.array([-1.0, 0.0, 1.0, 1.001, 1.01])).tolist()
    [-16257, 0, 16256, 16256, 16257]
    """
    bits = (expected.astype(np.float32) + np.float32(0.0)).view(np.int32)
    ordered: npt.NDArray[np.int32] = (bits ^ ((bits >> 31) & 0x7FFF_FFFF)) >> (32 - _LEVEL_BITS)
    return ordered


def _probabilities(foreseen: Foreseen, exploration: Exploration) -> Floats:
    """What the policy being learnt gives each shown arm by what was foreseen; NaN where that is no number."""
    shown, sizes = np.array(foreseen.shown, np.float32), [len(one) for one in foreseen.costs]
    found = np.empty(len(shown))
    for size in sorted(set(sizes)):
        places = [place for place, one in enumerate(sizes) if one == size]
        at_once = max(1, _BYTES_AT_ONCE // size)
        for start in range(0, len(places), at_once):
            some = places[start : start + at_once]
            costs = [foreseen.costs[place] for place in some]
            found[some] = _of_one_size(shown[some], costs, exploration)
    return found


def _of_one_size(shown: npt.NDArray[np.float32], costs: Sequence[bytes], exploration: Exploration) -> Floats:
    scores = scores_foreseen(costs)
    if not np.isfinite(scores).all():
        return np.full(len(shown), np.nan)
    # Arms expected alike are chosen alike: whichever of them stands first will do.
    places = (scores == shown[:, None]).argmax(axis=1)
    chances: Floats = pmf_of(scores, exploration)[np.arange(len(scores)), places]
    return chances


def _log_losses(shown: Floats, reward: Floats) -> Floats:
    sure = np.clip(shown, LOG_LOSS_CUT, 1.0 - LOG_LOSS_CUT)
    losses: Floats = -np.log(np.where(reward > 0.0, sure, 1.0 - sure))
    return losses


def _sum(terms: Floats) -> float:
    return float(terms.sum())


def _counts(levels: npt.NDArray[np.int32]) -> dict[int, int]:
    found, counts = np.unique(levels, return_counts=True)
    return dict(zip(found.tolist(), counts.tolist(), strict=True))
