"""Many models at once: one gather over the same hashed features gives every model's terms.

The weights of all versions with equally many bits and the same interactions lie side by side, so that what
one term needs of a hundred models is a few neighbouring lines of memory. Sums are made term after term, as
``model.py`` makes them: each version's score is, to the last bit, what it is alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import numpy.typing as npt

from sidecar.contracts.calibration import Calibration
from sidecar.contracts.hashing import CONSTANT_HASH
from sidecar.contracts.weights import Weights
from sidecar.policy.features import ContextInput, HashArray, Magnitudes
from sidecar.policy.model import Float64s, Scorer


@dataclass(frozen=True, eq=False)
class Panel:
    """Versions that share bits and interactions."""

    members: tuple[Weights, ...]
    """Each a column of ``values``."""
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


def _shape(weights: Weights) -> tuple[int, tuple[str, ...]]:
    return weights.header.bits, weights.header.interactions


def _panel(members: tuple[Weights, ...]) -> Panel:
    values = np.stack([one.values for one in members], axis=1)
    own = [Weights(one.header, values[:, place]) for place, one in enumerate(members)]
    return Panel(tuple(own), values)


class PanelScorer(Scorer):
    """The three parts of a score for many sets of weights: every sum has one more axis, ``n_models``."""

    def __init__(self, panel: Panel) -> None:
        super().__init__(panel.members[0])
        self._values = panel.values
        self.shape = (len(panel.members),)

    @property
    def constant(self) -> Float64s:
        """Of each model."""
        row: Float64s = self._values[CONSTANT_HASH & self._mask].astype(np.float64)
        return row

    def terms(self, context: ContextInput, width: int) -> int:
        """How many terms an arm with ``width`` features takes."""
        return super().terms(context, width) * self.shape[0]

    def _terms(self, hashes: HashArray, values: Magnitudes) -> Float64s:
        terms: Float64s = self._values.take(hashes & self._mask, axis=0) * values[..., None]
        return terms
