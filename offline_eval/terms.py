"""What a scored row becomes: a vector of terms, whose sums and products are all that estimators need.

A scored relation has a row per decision and slot with ``reward`` r, ``propensity`` p, ``e`` (the target
policy's probability of the logged arm) and, where known, ``q`` (the reward model at the logged arm), ``v``
(its mean under the target policy), ``support`` (the target's mass on arms that the logger could take) and
``inclusion_probability`` (the row was kept with it, and therefore counts 1/it times).

With w = e/p, and c a constant near the mean reward, a row becomes::

    y = (1,  w - 1,  r - c,  w (r - c),  v - c,  w (r - q),  and for shrunk weights g: g r - c or g (r - q))

Subtracting c and 1 beforehand is what keeps the digits: with rewards near 1e8, sums of plain squares would be
wrong by orders of magnitude.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

ONE, WEIGHT, REWARD, WEIGHTED, MODEL, RESIDUAL, SHRUNK = range(7)
"""Places of the terms in y; those of shrunk weights begin at ``SHRUNK``."""

BASE_NAMES = ("one", "u", "rho", "a", "m", "b")
"""Their columns in SQL; shrunk terms are ``z0``, ``z1``, …"""

Kind = Literal["clip", "sub_gaussian", "switch", "optimistic"]


class Shrunk(NamedTuple):
    """A term whose weight is cut or bent, which trades variance for bias."""

    kind: Kind
    limit: float
    of: Literal["reward", "residual"]
    """What it weighs: r, as in clipped IPS, or r - q, as in Switch-DR."""


class Bend(NamedTuple):
    """How a kind shrinks w at a limit L."""

    sql: str
    numpy: Callable[[Floats, float], Floats]


BENDS: dict[Kind, Bend] = {
    "clip": Bend("least({w}, {L})", lambda w, limit: np.minimum(w, limit)),
    "sub_gaussian": Bend("{w} / ({one_less} + {L} * {w})", lambda w, limit: w / (1.0 - limit + limit * w)),
    "switch": Bend(
        "CASE WHEN {w} <= {L} THEN {w} ELSE 0.0 END", lambda w, limit: np.where(w <= limit, w, 0.0)
    ),
    "optimistic": Bend("{L} * {w} / ({w} * {w} + {L})", lambda w, limit: limit * w / (w * w + limit)),
}

CLIP_10 = Shrunk("clip", 10.0, "reward")
DEFAULT_SHRUNK = (CLIP_10,)


class Plan(NamedTuple):
    """What a scan sums. Less of it is faster: every product costs some milliseconds per million rows."""

    shrunk: tuple[Shrunk, ...] = DEFAULT_SHRUNK
    against_logger: bool = True
    """Products with the reward, for the paired difference to what the logger earned."""
    propensity_range: bool = True
    """Smallest and largest p, which say whether replay applies."""
    heaviest: int = 0
    """How many of the largest weights are kept, for the tail's shape; 0 is none."""

    @property
    def names(self) -> tuple[str, ...]:
        """Columns of y."""
        return (*BASE_NAMES, *(f"z{place}" for place in range(len(self.shrunk))))

    def needs(self, i: int, j: int) -> bool:
        """Whether some estimator needs the sum of y_i y_j, beyond those with y_0 = 1.

        >>> Plan().needs(WEIGHT, WEIGHTED), Plan().needs(WEIGHTED, RESIDUAL)
        (True, False)
        """
        low, high = min(i, j), max(i, j)
        if REWARD in (i, j):
            return self.against_logger
        if high < SHRUNK:
            return {low, high} <= {WEIGHT, WEIGHTED} or {low, high} <= {WEIGHT, MODEL, RESIDUAL}
        return low == high or (low == MODEL and self.shrunk[high - SHRUNK].of == "residual")

    def pairs(self) -> list[tuple[int, int]]:
        """Places i <= j whose product is summed, those with y_0 left out."""
        k = len(self.names)
        return [(i, j) for i in range(1, k) for j in range(i, k) if self.needs(i, j)]

    def cross_pairs(self) -> list[tuple[int, int]]:
        """The same between two policies on the same rows: i of the one and j of the other."""
        k, quiet = len(self.names), self._replace(against_logger=False)
        return [(i, j) for i in range(1, k) for j in range(1, k) if quiet.needs(i, j)]


def shrunk_sql(shrunk: Shrunk, w: str = "w") -> str:
    """The shrunk weight as SQL over the column ``w``.

    >>> shrunk_sql(Shrunk("clip", 5.0, "reward"))
    'least(w, 5.0::DOUBLE)'
    """
    limit = f"{float(shrunk.limit)!r}::DOUBLE"
    return BENDS[shrunk.kind].sql.format(w=w, L=limit, one_less=f"(1.0::DOUBLE - {limit})")


def terms_of_rows(
    reward: Floats,
    weight: Floats,
    q: Floats | None,
    v: Floats | None,
    centre: float,
    shrunk: tuple[Shrunk, ...],
) -> Floats:
    """(k, n) terms of n rows in memory; those of the model are 0 where there is none."""
    d = np.zeros_like(reward) if q is None or v is None else reward - q
    m = np.zeros_like(reward) if q is None or v is None else v - centre
    base = [np.ones_like(reward), weight - 1, reward - centre, weight * (reward - centre), m, weight * d]
    bent = [(one, BENDS[one.kind].numpy(weight, one.limit)) for one in shrunk]
    return np.stack([*base, *(g * reward - centre if one.of == "reward" else g * d for one, g in bent)])
