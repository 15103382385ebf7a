"""Arms as a table of hashes and magnitudes, padded to the widest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sidecar.contracts.application import Arm
from sidecar.contracts.errors import BadEvent, NothingToScore
from sidecar.contracts.hashing import ARM_SEED, category_hash
from sidecar.policy.features import HashArray, Magnitudes, feature_pairs

ARM_ID_FEATURE = "id"
_LAYOUTS_KEPT = 64
"""A decision's columns have the same names as the last one's, unless one of its nodes failed."""


@dataclass(frozen=True, eq=False)
class ArmTable:
    """The features of some arms: both arrays ``(n_arms, n_features)``, padded with hash 0 and value 0."""

    ids: tuple[str, ...]
    hashes: HashArray
    values: Magnitudes
    names: tuple[tuple[str, ...], ...] = ()
    """Of each arm's features, in the order of its cells after the first, which is its id's."""
    origin: tuple[ArmTable, npt.NDArray[np.intp]] | None = None
    """The table of which these are some rows, and their places there."""

    @cached_property
    def _layouts(self) -> dict[tuple[str, ...], Layout]:
        return {}

    def layout(self, added: tuple[str, ...]) -> Layout:
        """Where cells of features ``added`` (sorted) go among the arms' own; worked out once a catalogue."""
        if self.origin is not None:
            table, places = self.origin
            return table.layout(added).at(places)
        if added not in self._layouts:
            if len(self._layouts) >= _LAYOUTS_KEPT:
                self._layouts.clear()
            self._layouts[added] = _layout(self, added)
        return self._layouts[added]

    @cached_property
    def places(self) -> dict[str, int]:
        """Arm id to its row."""
        return {arm_id: place for place, arm_id in enumerate(self.ids)}

    def at(self, places: Sequence[int]) -> ArmTable:
        """The arms at ``places``, in that order.

        Raises:
            BadEvent: a place that this table does not have.
        """
        if places and (min(places) < 0 or max(places) >= len(self.ids)):
            raise BadEvent(f"arm places {min(places)} to {max(places)}: legal are 0 to {len(self.ids) - 1}")
        chosen = np.array(places, np.intp)
        ids = tuple([self.ids[place] for place in places])
        names = tuple([self.names[place] for place in places])
        origin = (self, chosen)
        return ArmTable(ids, self.hashes.take(chosen, 0), self.values.take(chosen, 0), names, origin)


class Layout(NamedTuple):
    """The cells of some arms, with room for new ones among them: the id, then by name, then padding."""

    hashes: HashArray
    """``(n_arms, n_cells)``, like its values: the arms' own cells in their places; 0 where a new one goes."""
    values: Magnitudes
    cells: tuple[int | npt.NDArray[np.intp], ...]
    """Of each new feature: its cell in every arm's row; where they differ, each arm's, ``(n_arms,)``."""
    covered: dict[int, npt.NDArray[np.intp]]
    """New features that arms have of their own, by their place among the new ones, to the own cell
    ``(n_arms,)``; -1 where an arm has none."""

    def at(self, places: npt.NDArray[np.intp]) -> Layout:
        """The same of some of the arms."""
        return Layout(
            self.hashes.take(places, 0),
            self.values.take(places, 0),
            tuple([one if isinstance(one, int) else one.take(places) for one in self.cells]),
            {place: cells.take(places) for place, cells in self.covered.items()},
        )


def _layout(table: ArmTable, added: tuple[str, ...]) -> Layout:
    n_added = len(added)
    rank = _ranks(table, added)
    order = np.argsort(rank, axis=1, kind="stable")
    hashes, values = np.zeros(rank.shape, np.int64), np.zeros(rank.shape)
    hashes[:, n_added:], values[:, n_added:] = table.hashes, table.values
    hashes, values = np.take_along_axis(hashes, order, 1), np.take_along_axis(values, order, 1)
    goes_to = np.argsort(order, axis=1)
    covered = {}
    for place in range(n_added):
        is_own = rank[:, n_added:] == rank[0, place]
        if is_own.any():
            found = np.take_along_axis(goes_to, is_own.argmax(axis=1)[:, None] + n_added, 1)[:, 0]
            covered[place] = np.where(is_own.any(axis=1), found, -1)
    return Layout(hashes, values, tuple([_same(goes_to[:, place]) for place in range(n_added)]), covered)


def _ranks(table: ArmTable, added: tuple[str, ...]) -> npt.NDArray[np.intp]:
    """What orders the cells of each arm, first all new ones, then its own: ``(n_arms, n_cells)``."""
    n_arms, width = table.hashes.shape
    ranks = {name: rank for rank, name in enumerate(sorted({*added, *chain.from_iterable(table.names)}))}
    rank = np.full((n_arms, len(added) + width), len(ranks), np.intp)
    rank[:, : len(added)] = [ranks[name] for name in added]
    rank[:, len(added)] = -1
    start = len(added) + 1
    for row, names in enumerate(table.names):
        rank[row, start : start + len(names)] = [ranks[name] for name in names]
    return rank


def _same(cells: npt.NDArray[np.intp]) -> int | npt.NDArray[np.intp]:
    return int(cells[0]) if (cells == cells[0]).all() else cells


def arm_pairs(arm: Arm) -> list[tuple[int, float]]:
    """Hash and magnitude of an arm's features, its id first."""
    return [(category_hash(ARM_ID_FEATURE, arm.id, ARM_SEED), 1.0), *feature_pairs(arm.features, ARM_SEED)]


def compile_arms(arms: Sequence[Arm]) -> ArmTable:
    """Arms as a table, in their order.

    Raises:
        NothingToScore: no arms.
        BadEvent: a number that is not finite or beyond ``MAGNITUDE_LIMIT``.
    """
    if not arms:
        raise NothingToScore("no arm is eligible: at least one is needed")
    rows = [arm_pairs(arm) for arm in arms]
    lengths = np.array([len(row) for row in rows])
    used = np.arange(lengths.max()) < lengths[:, None]
    flat = list(chain.from_iterable(rows))
    hashes, values = np.zeros(used.shape, np.int64), np.zeros(used.shape, np.float64)
    hashes[used] = [place for place, _ in flat]
    values[used] = np.array([value for _, value in flat], np.float32)
    names = tuple([tuple(sorted(arm.features)) for arm in arms])
    return ArmTable(tuple([arm.id for arm in arms]), hashes, values, names)
