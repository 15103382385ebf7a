"""In-adapter and out-adapter: features by name to arrays of hashes and magnitudes; scores back to bytes.

Features are put in the order of their names, so that neither the order of a client's JSON nor that of a
dictionary can change a bit of a score.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sidecar.contracts.application import Arm, Catalogue, Features
from sidecar.contracts.errors import BadEvent, NothingToScore, UnknownCatalogue
from sidecar.contracts.hashing import ARM_SEED, CONTEXT_SEED, category_hash, feature_hash
from sidecar.contracts.wire import ScoredRow, ScoreRow

MAGNITUDE_LIMIT = 1e9
"""Largest feature: the square of a product of two still fits a float32, in which the trainer computes."""
ARM_ID_FEATURE = "id"

HashArray = npt.NDArray[np.int64]
"""32-bit hashes, held as the integer type with which numpy looks things up."""
Magnitudes = npt.NDArray[np.float64]
"""Values rounded to float32, which is what the trainer sees, held as the type in which sums are made."""


class ContextInput(NamedTuple):
    """The features of one context: both arrays of shape ``(n_features,)``."""

    hashes: HashArray
    values: Magnitudes


@dataclass(frozen=True, eq=False)
class ArmTable:
    """The features of some arms: both arrays ``(n_arms, n_features)``, padded with hash 0 and value 0."""

    ids: tuple[str, ...]
    hashes: HashArray
    values: Magnitudes

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
        return ArmTable(ids, self.hashes.take(chosen, 0), self.values.take(chosen, 0))


class RowInput(NamedTuple):
    """What the model gets for one decision."""

    context: ContextInput
    arms: ArmTable


def compile_context(features: Features) -> ContextInput:
    """A context as arrays.

    Raises:
        BadEvent: a number that is not finite or beyond ``MAGNITUDE_LIMIT``.

    >>> compile_context({"hour": 21.0, "device": "ios"}).values.tolist()
    [1.0, 21.0]
    """
    pairs = feature_pairs(features, CONTEXT_SEED)
    return ContextInput(
        np.array([place for place, _ in pairs], np.int64),
        np.array([value for _, value in pairs], np.float32).astype(np.float64),
    )


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
    return ArmTable(tuple([arm.id for arm in arms]), hashes, values)


def feature_pairs(features: Features, seed: int) -> list[tuple[int, float]]:
    """Hash and magnitude of features, in the order of their names.

    Raises:
        BadEvent: a number that is not finite or beyond ``MAGNITUDE_LIMIT``.
    """
    pairs = [feature_hash(name, features[name], seed) for name in sorted(features)]
    for place, (_, value) in enumerate(pairs):
        if not -MAGNITUDE_LIMIT <= value <= MAGNITUDE_LIMIT:
            name = sorted(features)[place]
            raise BadEvent(
                f"feature {name!r} is {value}: legal are -{MAGNITUDE_LIMIT:g} to {MAGNITUDE_LIMIT:g}"
            )
    return pairs


class ArmTables:
    """Compiled catalogues by version; the least recently used goes when there are too many.

    Args:
        capacity: how many catalogues are held.
    """

    def __init__(self, capacity: int = 16) -> None:
        self._capacity = capacity
        self._tables: OrderedDict[str, ArmTable] = OrderedDict()

    def get(self, version: str) -> ArmTable:
        """The table of a catalogue.

        Raises:
            UnknownCatalogue: it was never put here, or has been dropped since.
        """
        table = self._tables.get(version)
        if table is None:
            raise UnknownCatalogue(f"catalogue {version!r} is not held here: send its arms with the request")
        self._tables.move_to_end(version)
        return table

    def put(self, version: str, arms: Sequence[Arm]) -> ArmTable:
        """Compile a catalogue and hold it."""
        table = self._tables[version] = compile_arms(arms)
        self._tables.move_to_end(version)
        while len(self._tables) > self._capacity:
            self._tables.popitem(last=False)
        return table

    def of(self, catalogue: Catalogue) -> ArmTable:
        """The table of a catalogue at hand, compiled at its first use."""
        if catalogue.version not in self._tables:
            return self.put(catalogue.version, catalogue.arms)
        return self.get(catalogue.version)

    def __contains__(self, version: str) -> bool:
        return version in self._tables


def adapt_in(row: ScoreRow, table: ArmTable | None) -> RowInput:
    """The in-adapter: one row of the in-schema as arrays.

    Args:
        row: as it came.
        table: the catalogue that ``row.arms`` points into; not needed where the row brings its arms.

    Raises:
        NothingToScore: the row names no arm.
        UnknownCatalogue: the row points into a catalogue, and there is none.
        BadEvent: a place outside the catalogue, or a number outside its range.
    """
    context = compile_context(row.context)
    if row.given_arms:
        return RowInput(context, compile_arms(row.given_arms))
    if table is None:
        raise UnknownCatalogue("a row points into a catalogue that the request does not name")
    if row.arms is None:
        return RowInput(context, table)
    if not row.arms:
        raise NothingToScore("no arm is eligible: at least one is needed")
    return RowInput(context, table.at(row.arms))


def adapt_out(scores: npt.NDArray[np.float32], pmf: npt.NDArray[np.float64]) -> ScoredRow:
    """The out-adapter: what the model and exploration said, as it travels."""
    return ScoredRow(scores.astype("<f4", copy=False).tobytes(), pmf.astype("<f8", copy=False).tobytes())


def read_scores(data: bytes) -> npt.NDArray[np.float32]:
    """Scores as :func:`adapt_out` and the decision event hold them."""
    return np.frombuffer(data, "<f4")


def read_pmf(data: bytes) -> npt.NDArray[np.float64]:
    """A pmf as :func:`adapt_out` holds it."""
    return np.frombuffer(data, "<f8")
