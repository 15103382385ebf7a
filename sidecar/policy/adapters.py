"""In-adapter and out-adapter: features by name to arrays of hashes and magnitudes; scores back to bytes.

Features are put in the order of their names, so that neither the order of a client's JSON nor that of a
dictionary can change a bit of a score.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sidecar.contracts.application import Arm, Catalogue, Features
from sidecar.contracts.arm_features import Column, Levels, codes_of, numbers_of
from sidecar.contracts.errors import BadEvent, NothingToScore, UnknownCatalogue
from sidecar.contracts.events import DecisionEvent, own_arms_of
from sidecar.contracts.hashing import ARM_SEED, CONTEXT_SEED, category_hash, feature_hash, name_hash
from sidecar.contracts.wire import ScoredRow, ScoreRow

MAGNITUDE_LIMIT = 1e9
"""Largest feature: the square of a product of two still fits a float32, in which the trainer computes."""
ARM_ID_FEATURE = "id"
_LAYOUTS_KEPT = 64
"""A decision's columns have the same names as the last one's, unless one of its nodes failed."""

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
    """The cells of some arms with new ones between them: first all new ones, then the arms' own."""

    order: npt.NDArray[np.intp]
    """``(n_arms, n_cells)``: which cell comes first, second, …: the id, then by name, then padding."""
    covered: dict[str, npt.NDArray[np.intp]]
    """Names that arms have of their own, to their cell ``(n_arms,)``; 0, the place of no such cell, where an
    arm has none."""

    def at(self, places: npt.NDArray[np.intp]) -> Layout:
        """The same of some of the arms."""
        return Layout(
            self.order.take(places, 0), {name: cells.take(places) for name, cells in self.covered.items()}
        )


def _layout(table: ArmTable, added: tuple[str, ...]) -> Layout:
    n_arms, width = table.hashes.shape
    ranks = {name: rank for rank, name in enumerate(sorted({*added, *chain.from_iterable(table.names)}))}
    rank = np.full((n_arms, len(added) + width), len(ranks), np.intp)
    rank[:, : len(added)] = [ranks[name] for name in added]
    rank[:, len(added)] = -1
    start = len(added) + 1
    for row, names in enumerate(table.names):
        rank[row, start : start + len(names)] = [ranks[name] for name in names]
    covered = {}
    for name in added:
        is_own = rank[:, len(added) :] == ranks[name]
        if is_own.any():
            covered[name] = np.where(is_own.any(axis=1), is_own.argmax(axis=1) + len(added), 0)
    return Layout(np.argsort(rank, axis=1, kind="stable"), covered)


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
    names = tuple([tuple(sorted(arm.features)) for arm in arms])
    return ArmTable(tuple([arm.id for arm in arms]), hashes, values, names)


def with_columns(table: ArmTable, columns: Mapping[str, Column]) -> ArmTable:
    """Arms with a decision's own features over theirs.

    Every cell goes where its name puts it, for in a product of two features of an arm their order counts; an
    own one that is covered becomes padding. The bits of a score do not depend on how the table came to be.

    Raises:
        BadEvent: a column is for another number of arms, or broken, or holds a number outside its range.
    """
    if not columns:
        return table
    names = tuple(sorted(columns))
    compiled = [compile_column(name, columns[name], len(table.ids)) for name in names]
    layout, n_added = table.layout(names), len(names)
    shape = (len(table.ids), n_added + table.hashes.shape[1])
    hashes, values = np.empty(shape, np.int64), np.empty(shape, np.float64)
    hashes[:, n_added:], values[:, n_added:] = table.hashes, table.values
    for place, column in enumerate(compiled):
        hashes[:, place], values[:, place] = column.hashes, column.values
        if names[place] in layout.covered:
            own = layout.covered[names[place]]
            rows = np.flatnonzero(column.known & (own > 0))
            hashes[rows, own[rows]], values[rows, own[rows]] = 0, 0.0
    cells = layout.order + np.arange(0, hashes.size, shape[1], dtype=np.intp)[:, None]
    return ArmTable(table.ids, hashes.take(cells), values.take(cells))


class CompiledColumn(NamedTuple):
    """One feature of arms. All of shape ``(n_arms,)``."""

    hashes: HashArray
    values: Magnitudes
    known: npt.NDArray[np.bool_]


def level_cells(name: str, column: Levels) -> list[tuple[int, float]]:
    """Hash and magnitude of each of a column's levels, behind those of no value at all."""
    return [(0, 0.0), *[feature_pairs({name: level}, ARM_SEED)[0] for level in column.levels]]


def compile_column(name: str, column: Column, n_arms: int) -> CompiledColumn:
    """One feature of arms as arrays.

    Raises:
        BadEvent: it is for another number of arms, or broken, or holds a number outside its range.
    """
    if isinstance(column, Levels):
        codes = codes_of(column, n_arms)
        pairs = level_cells(name, column)
        hashes = np.array([place for place, _ in pairs], np.int64)
        values = np.array([value for _, value in pairs], np.float32).astype(np.float64)
        return CompiledColumn(hashes[codes], values[codes], codes > 0)
    numbers = numbers_of(column, n_arms).astype(np.float64)
    known = ~np.isnan(numbers)
    numbers = np.where(known, numbers, 0.0)
    if n_arms and not np.abs(numbers).max() <= MAGNITUDE_LIMIT:
        raise BadEvent(f"feature {name!r} of an arm is beyond {MAGNITUDE_LIMIT:g}")
    return CompiledColumn(np.where(known, name_hash(name, ARM_SEED), 0), numbers, known)


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
        BadEvent: a place outside the catalogue, a broken column, or a number outside its range.
    """
    return RowInput(compile_context(row.context), with_columns(own_arms(row, table), row.arm_features))


def own_arms(row: ScoreRow, table: ArmTable | None) -> ArmTable:
    """A row's eligible arms, without what was fetched for them.

    Raises:
        NothingToScore, UnknownCatalogue, BadEvent: as :func:`adapt_in`.
    """
    if row.given_arms:
        return compile_arms(row.given_arms)
    if table is None:
        raise UnknownCatalogue("a row points into a catalogue that the request does not name")
    if row.arms is None:
        return table
    if not row.arms:
        raise NothingToScore("no arm is eligible: at least one is needed")
    return table.at(row.arms)


def own_arms_of_event(event: DecisionEvent, catalogue: Catalogue, tables: ArmTables) -> ArmTable:
    """The same of a logged decision, from the compiled catalogue where that has them all.

    Raises:
        BadEvent: ``catalogue`` is not the one that the event names.
    """
    if not event.given_arms and event.catalogue == catalogue.version:
        table = tables.of(catalogue)
        if not event.arms:
            return table
        if table.places.keys() >= set(event.arms):
            return table.at([table.places[arm_id] for arm_id in event.arms])
    return compile_arms(own_arms_of(event, catalogue))


def adapt_out(scores: npt.NDArray[np.float32], pmf: npt.NDArray[np.float64]) -> ScoredRow:
    """The out-adapter: what the model and exploration said, as it travels."""
    return ScoredRow(scores.astype("<f4", copy=False).tobytes(), pmf.astype("<f8", copy=False).tobytes())


def read_scores(data: bytes) -> npt.NDArray[np.float32]:
    """Scores as :func:`adapt_out` and the decision event hold them."""
    return np.frombuffer(data, "<f4")


def read_pmf(data: bytes) -> npt.NDArray[np.float64]:
    """A pmf as :func:`adapt_out` holds it."""
    return np.frombuffer(data, "<f8")
