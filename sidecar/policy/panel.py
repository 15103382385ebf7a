"""Many models at once: one gather over the same hashed features gives every model's terms.

The weights of all versions with equally many bits and the same interactions lie side by side, so that what
one term needs of a hundred models is a few neighbouring lines of memory. Sums are made term after term, as
``model.py`` makes them: each version's score is, to the last bit, what it is alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import numpy.typing as npt

from sidecar.contracts.calibration import Calibration
from sidecar.contracts.hashing import CONSTANT_HASH
from sidecar.contracts.weights import Weights
from sidecar.contracts.wire import ScoreRow
from sidecar.policy.adapters import ArmTable, ContextInput, HashArray, Magnitudes, adapt_in, own_arms
from sidecar.policy.model import Float64s, Scorer, scores_by
from sidecar.policy.stacked import alike, in_stacks, stack, stack_scores_by

PanelScores = npt.NDArray[np.float32]
"""``(n_arms of all rows, n_models)``: the rows of a request, one after the other."""


@dataclass(frozen=True, eq=False)
class Panel:
    """Versions that share bits and interactions."""

    members: tuple[Weights, ...]
    values: npt.NDArray[np.float32]
    """``(2 ** bits, n_models)``, a column each."""

    @property
    def versions(self) -> tuple[int, ...]:
        """In the order of the columns."""
        return tuple([one.header.version for one in self.members])

    @property
    def calibrations(self) -> tuple[Calibration | None, ...]:
        """Likewise; None: the version does not know what its scores mean."""
        return tuple([one.header.calibration or None for one in self.members])


def panels_of(weights: Iterable[Weights]) -> tuple[Panel, ...]:
    """As few panels as hold all of ``weights``; takes some milliseconds a model."""
    groups = groupby(sorted(weights, key=_shape), key=_shape)
    return tuple([_panel(tuple(members)) for _, members in groups])


def panel_scores(rows: Sequence[ScoreRow], table: ArmTable | None, panel: Panel) -> PanelScores:
    """The scores of all arms of all rows.

    Raises:
        NothingToScore, UnknownCatalogue, BadEvent: as the in-adapter.
    """
    scorer = _PanelScorer(panel)
    found: dict[int, PanelScores] = {}
    for places in alike(rows):
        arms = own_arms(rows[places[0]], table)
        for some in in_stacks(places, rows, arms, scorer.interactions, len(panel.members)):
            stacked = stack_scores_by(scorer, stack([rows[place] for place in some], arms))
            found.update(zip(some, stacked, strict=True))
    for place, row in enumerate(rows):
        if place not in found:
            found[place] = scores_by(scorer, adapt_in(row, table))
    none = np.empty((0, len(panel.members)), np.float32)
    return np.concatenate([none, *[found[place] for place in range(len(rows))]])


def _shape(weights: Weights) -> tuple[int, tuple[str, ...]]:
    return weights.header.bits, weights.header.interactions


def _panel(members: tuple[Weights, ...]) -> Panel:
    return Panel(members, np.stack([one.values for one in members], axis=1))


class _PanelScorer(Scorer):
    """The three parts of a score for many sets of weights: every sum has one more axis, ``n_models``."""

    def __init__(self, panel: Panel) -> None:
        super().__init__(panel.members[0])
        self._values = panel.values
        self._n_models = len(panel.members)

    @property
    def constant(self) -> Float64s:
        """Of each model."""
        row: Float64s = self._values[CONSTANT_HASH & self._mask].astype(np.float64)
        return row

    def terms(self, context: ContextInput, width: int) -> int:
        """How many terms an arm with ``width`` features takes."""
        return super().terms(context, width) * self._n_models

    def sum(self, hashes: HashArray, values: Magnitudes) -> Float64s:
        """Weighted magnitudes, added up term after term along the last axis of ``hashes``."""
        if hashes.shape[-1] == 0:
            return np.zeros((*hashes.shape[:-1], self._n_models))
        terms: Float64s = self._values.take(hashes & self._mask, axis=0) * values[..., None]
        if self._n_models == 1:  # numpy would add up in another order, were the terms neighbours
            running: Float64s = np.add.accumulate(terms, axis=-2)
            return running[..., -1, :]
        summed: Float64s = np.add.reduce(terms, axis=-2)
        return summed
