"""The in-adapter for many rows: those that are alike are stacked, one step of numpy for all of them.

Alike are rows with the same arms of the catalogue and the same names of fetched features, which most rows of
an application are. Contexts are padded to the widest with value 0, which changes no bit of a sum; so a row's
scores are, to the last bit, what :func:`sidecar.policy.model.scores_of` gives it alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np

from sidecar.contracts.arm_features import Column, Levels, codes_of
from sidecar.contracts.hashing import CONTEXT_SEED
from sidecar.contracts.wire import ScoreRow
from sidecar.policy.adapters import RowInput, adapt_in, own_arms
from sidecar.policy.arm_columns import compile_column, level_cells
from sidecar.policy.arm_table import ArmTable
from sidecar.policy.features import ContextInput, HashArray, Magnitudes, feature_pairs
from sidecar.policy.model import terms_of_an_arm

TERMS_AT_ONCE = 1 << 16
"""Of one stack: half a megabyte an array, which stays in the processor's cache."""


class Stack(NamedTuple):
    """Rows with equally many arms and features."""

    context_hashes: HashArray
    """``(n_rows, n_features)``, like its values; padded with hash 0 and value 0."""
    context_values: Magnitudes
    arm_hashes: HashArray
    """``(n_rows, n_arms, width)``, like its values; or ``(1, n_arms, width)`` where they are the same."""
    arm_values: Magnitudes

    def part(self, start: int, stop: int) -> Stack:
        """Some of the rows."""
        arms = slice(start, stop) if len(self.arm_hashes) > 1 else slice(None)
        return Stack(
            self.context_hashes[start:stop],
            self.context_values[start:stop],
            self.arm_hashes[arms],
            self.arm_values[arms],
        )

    def row(self, place: int) -> RowInput:
        """One of them, as if it had come alone."""
        hashes, values, arm_hashes, arm_values = self.part(place, place + 1)
        return RowInput(ContextInput(hashes[0], values[0]), ArmTable((), arm_hashes[0], arm_values[0]))


def alike(rows: Sequence[ScoreRow]) -> list[list[int]]:
    """Places of rows that are alike, two at least; rows that bring their arms are left out."""
    found: dict[object, list[int]] = {}
    for place, row in enumerate(rows):
        if not row.given_arms:
            found.setdefault((row.arms, tuple(row.arm_features)), []).append(place)
    return [places for places in found.values() if len(places) > 1]


class Block(NamedTuple):
    """Rows that go through the model in one step."""

    places: Sequence[int]
    inputs: Stack | RowInput
    """A row alone is a :class:`RowInput`."""


def blocks(
    rows: Sequence[ScoreRow], table: ArmTable | None, interactions: Collection[str]
) -> Iterator[Block]:
    """The in-adapter for all rows of a request: each is in one block.

    Args:
        rows: as they came.
        table: the catalogue that they point into; not needed where they bring their arms.
        interactions: of the models that will score them: how much one row takes.

    Raises:
        NothingToScore, UnknownCatalogue, BadEvent: as :func:`sidecar.policy.adapters.adapt_in`.
    """
    alone = dict.fromkeys(range(len(rows)))
    for places in alike(rows):
        arms = own_arms(rows[places[0]], table)
        for some in _at_once(places, rows, arms, interactions):
            yield Block(some, stack([rows[place] for place in some], arms))
            for place in some:
                del alone[place]
    for place in alone:
        yield Block((place,), adapt_in(rows[place], table))


def _at_once(
    places: Sequence[int], rows: Sequence[ScoreRow], arms: ArmTable, interactions: Collection[str]
) -> Iterator[Sequence[int]]:
    """``places`` of rows that are alike, as many at a time as fit.

    None where a row alone is so large that nothing would be gained.
    """
    n_features = max([len(rows[place].context) for place in places])
    width = int(arms.hashes.shape[1]) + len(rows[places[0]].arm_features)
    step = TERMS_AT_ONCE // (len(arms.ids) * terms_of_an_arm(interactions, n_features, width))
    for start in range(0, len(places), step) if step > 1 else ():
        yield places[start : start + step]


def stack(rows: Sequence[ScoreRow], arms: ArmTable) -> Stack:
    """The in-adapter for rows that are alike.

    Args:
        rows: alike; at least one.
        arms: their eligible arms, as the catalogue has them.

    Raises:
        BadEvent: a broken column, or a number outside its range.
    """
    hashes, values = _contexts(rows)
    return Stack(hashes, values, *_arms(rows, arms))


def _contexts(rows: Sequence[ScoreRow]) -> tuple[HashArray, Magnitudes]:
    """All contexts as two arrays, filled in one go."""
    pairs = [feature_pairs(row.context, CONTEXT_SEED) for row in rows]
    lengths = np.array([len(one) for one in pairs])
    used = np.arange(int(lengths.max())) < lengths[:, None]
    hashes, values = np.zeros(used.shape, np.int64), np.zeros(used.shape, np.float64)
    if flat := list(chain.from_iterable(pairs)):
        of, magnitudes = zip(*flat, strict=True)
        hashes[used], values[used] = of, np.array(magnitudes, np.float32)
    return hashes, values


def _arms(rows: Sequence[ScoreRow], table: ArmTable) -> tuple[HashArray, Magnitudes]:
    """The arms of every row, what was fetched for them put where its name goes; see ``with_columns``."""
    names = tuple(sorted(rows[0].arm_features))
    if not names:
        return table.hashes[None], table.values[None]
    n_arms, width = table.hashes.shape
    layout, n_added = table.layout(names), len(names)
    shape = (len(rows), n_arms, n_added + width)
    hashes, values = np.empty(shape, np.int64), np.empty(shape, np.float64)
    hashes[:, :, n_added:], values[:, :, n_added:] = table.hashes, table.values
    for place, name in enumerate(names):
        added = _columns(name, [row.arm_features[name] for row in rows], n_arms)
        hashes[:, :, place], values[:, :, place] = added
        if name in layout.covered:
            own = layout.covered[name]
            at, arms = np.nonzero((added[0] != 0) & (own > 0)[None])
            hashes[at, arms, own[arms]], values[at, arms, own[arms]] = 0, 0.0
    cells = (layout.order + np.arange(0, n_arms * shape[2], shape[2], dtype=np.intp)[:, None]).ravel()
    flat = (len(rows), n_arms * shape[2])
    return hashes.reshape(flat).take(cells, 1).reshape(shape), values.reshape(flat).take(cells, 1).reshape(
        shape
    )


def _columns(name: str, columns: Sequence[Column], n_arms: int) -> tuple[HashArray, Magnitudes]:
    """One feature of the arms of all rows, both ``(n_rows, n_arms)``."""
    if all(isinstance(column, Levels) for column in columns):
        return _of_levels(name, [column for column in columns if isinstance(column, Levels)], n_arms)
    compiled = [compile_column(name, column, n_arms) for column in columns]
    return np.stack([one.hashes for one in compiled]), np.stack([one.values for one in compiled])


def _of_levels(name: str, columns: Sequence[Levels], n_arms: int) -> tuple[HashArray, Magnitudes]:
    """Levels of all rows in one table, each different tuple of them once; and each different column once."""
    starts: dict[tuple[object, ...], int] = {}
    seen: dict[tuple[object, ...], int] = {}
    cells: list[tuple[int, float]] = []
    codes: list[np.ndarray[tuple[int, ...], np.dtype[np.intp]]] = []
    of_row: list[int] = []
    for column in columns:
        levels = (*column.levels, *map(type, column.levels))
        place = seen.setdefault((column.codes, levels), len(codes))
        of_row.append(place)
        if place < len(codes):
            continue
        if levels not in starts:
            starts[levels] = len(cells)
            cells += level_cells(name, column)
        codes.append(codes_of(column, n_arms).astype(np.intp) + starts[levels])
    hashes = np.array([place for place, _ in cells], np.int64)
    values = np.array([value for _, value in cells], np.float32).astype(np.float64)
    places = np.array(codes).reshape(len(codes), n_arms)
    return hashes[places][of_row], values[places][of_row]
