"""How well the reward model knows rewards: what it expected of shown arms, beside what came.

DM is as good as this; DR is right without it, and narrower with it.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from msgspec import Struct

from offline_eval.diagnostics import Check
from offline_eval.reward_model import Expecting
from offline_eval.terms import Floats

BINS = 10


class CalibrationBin(Struct, frozen=True):
    """Rows of which the model expected about as much."""

    rows: int
    expected: float
    """Mean of what it expected."""
    came: float
    """Mean reward."""


class Calibration:
    """Grows batch by batch: bins of one width between the least and the most that the model ever expects."""

    def __init__(self, model: Expecting) -> None:
        self._edges: Floats = np.linspace(*model.bounds, BINS + 1)
        self._sums = np.zeros((BINS, 4))

    def add(self, table: pa.Table) -> None:
        """Count the rows of a scored table that have a reward and an expectation."""
        names = ("reward", "q", "inclusion_probability")
        reward, q, kept = (table[name].to_numpy().astype(np.float64) for name in names)
        sound = np.isfinite(reward) & np.isfinite(q) & (kept > 0)
        places = np.clip(np.searchsorted(self._edges, q[sound], side="right") - 1, 0, BINS - 1)
        s = 1 / kept[sound]
        columns = np.stack([np.ones_like(s), s, s * q[sound], s * reward[sound]], axis=1)
        np.add.at(self._sums, places, columns)

    def bins(self) -> tuple[CalibrationBin, ...]:
        """Those with rows, the least expectation first."""
        return tuple([CalibrationBin(int(n), q / s, r / s) for n, s, q, r in self._sums.tolist() if n])


def model_checks(bins: tuple[CalibrationBin, ...], model: Expecting) -> tuple[Check, ...]:
    """How far off the model is, and whether it may have seen the rows that it is asked about."""
    if not bins:
        return ()
    rows = sum(one.rows for one in bins)
    off = sum(one.rows * abs(one.came - one.expected) for one in bins) / rows
    mean = sum(one.rows * one.came for one in bins) / rows
    share = f", {off / abs(mean):.1%} of the mean reward" if mean else ""
    text = f"the reward model ({model.name}) is off by {off:.4g} on average{share}"
    seen = (Check("model_seen", "caution", None, model.caution),) if model.caution else ()
    return (Check("model", "ok", off, text), *seen)
