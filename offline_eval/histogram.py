"""How the weights are spread: rows by powers of two."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from msgspec import Struct

from offline_eval.rejections import PROPENSITY_FLOOR

Counts = dict[int, int]
"""Power of two at the bottom of a bin to rows; ``NOTHING`` stands for weights of 0."""
NOTHING = -1_000


class Bin(Struct, frozen=True):
    """Weights from ``low``, below ``high``."""

    low: float
    high: float
    rows: int


def count_weights(counts: Counts, table: pa.Table) -> None:
    """Add a scored table's rows; those whose weight makes no sense are left out, as everywhere.

    >>> counts = {}
    >>> count_weights(counts, pa.table({"e": [0.5, 0.5, 0.0, 2.0], "propensity": [0.5, 0.1, 0.5, 0.5]}))
    >>> bins(counts)
    (Bin(low=0.0, high=0.0, rows=1), Bin(low=1.0, high=2.0, rows=1), Bin(low=4.0, high=8.0, rows=1))
    """
    e, p = (table[name].to_numpy() for name in ("e", "propensity"))
    sound = (e >= 0) & (e <= 1) & (p >= PROPENSITY_FLOOR) & (p <= 1)
    weights = e[sound] / p[sound]
    powers = np.full(len(weights), NOTHING)
    # The hair above is for weights of exactly a power, which rounding may have put below.
    powers[weights > 0] = np.floor(np.log2(weights[weights > 0] * (1 + 1e-9)))
    for power, rows in zip(*np.unique(powers, return_counts=True), strict=True):
        counts[int(power)] = counts.get(int(power), 0) + int(rows)


def bins(counts: Counts) -> tuple[Bin, ...]:
    """The histogram, from the smallest weights on."""
    return tuple(
        [
            Bin(0.0, 0.0, rows) if power == NOTHING else Bin(2.0**power, 2.0 ** (power + 1), rows)
            for power, rows in sorted(counts.items())
        ]
    )
