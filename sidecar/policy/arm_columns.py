"""What was fetched for single arms: columns of levels or of numbers, laid over what the arms have.

Of as many rows as have the same arms, all at once: checks too are made for all columns together, and a row
alone is such a stack of one.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import chain
from typing import NamedTuple, cast

import numpy as np

from sidecar.contracts.application import FeatureValue
from sidecar.contracts.arm_features import Column, Levels, codes_of, numbers_of
from sidecar.contracts.errors import BadEvent
from sidecar.contracts.hashing import ARM_SEED, name_hash
from sidecar.policy.arm_table import ArmTable
from sidecar.policy.features import MAGNITUDE_LIMIT, HashArray, Magnitudes, feature_pairs

Cells = tuple[HashArray, Magnitudes]
"""Hashes and magnitudes, ``(n_rows, n_arms)`` both; hash 0 where an arm has no value."""
_KEPT = 512
"""Different sets of levels whose hashes are remembered."""
_ONE_BYTE = 255


def with_columns(table: ArmTable, columns: Mapping[str, Column]) -> ArmTable:
    """Arms with a decision's own features over theirs.

    Every cell goes where its name puts it, for in a product of two features of an arm their order counts; an
    own one that is covered becomes padding. The bits of a score do not depend on how the table came to be.

    Raises:
        BadEvent: a column is for another number of arms, or broken, or holds a number outside its range.
    """
    if not columns:
        return table
    hashes, values = laid_over(table, [columns])
    return ArmTable(table.ids, hashes[0], values[0])


def laid_over(table: ArmTable, rows: Sequence[Mapping[str, Column]]) -> Cells:
    """The same for rows whose columns have the same names, one at least: ``(n_rows, n_arms, n_cells)``.

    Raises:
        BadEvent: as above.
    """
    names = names_of(rows)
    layout, n_arms = table.layout(names), len(table.ids)
    hashes = layout.hashes.T[:, None].repeat(len(rows), 1)
    values = layout.values.T[:, None].repeat(len(rows), 1)
    for place, (added, magnitudes) in enumerate(_compiled(names, rows, n_arms)):
        cells = layout.cells[place]
        if isinstance(cells, int):
            hashes[cells], values[cells] = added, magnitudes
        else:
            arms = np.arange(n_arms)
            hashes[cells, :, arms], values[cells, :, arms] = added.T, magnitudes.T
        if place in layout.covered:
            own = layout.covered[place]
            at, covered = np.nonzero((added != 0) & (own >= 0)[None])
            hashes[own[covered], at, covered], values[own[covered], at, covered] = 0, 0.0
    return hashes.transpose(1, 2, 0), values.transpose(1, 2, 0)


def names_of(rows: Sequence[Mapping[str, Column]]) -> tuple[str, ...]:
    """Of all their columns, in order."""
    return tuple(sorted({*chain.from_iterable(rows)}))


def _compiled(names: Sequence[str], rows: Sequence[Mapping[str, Column]], n_arms: int) -> Sequence[Cells]:
    """Every feature's cells, in the order of ``names``."""
    nothing = Levels((), bytes(n_arms))
    columns = [[row.get(name, nothing) for row in rows] for name in names]
    if (found := _of_levels(names, columns, n_arms)) is not None:
        return [*zip(*found, strict=True)]
    return [_one_by_one(name, own, n_arms) for name, own in zip(names, columns, strict=True)]


def _of_levels(
    names: Sequence[str], columns: Sequence[Sequence[Column]], n_arms: int
) -> tuple[HashArray, Magnitudes] | None:
    """Columns of levels alone: one look-up for all cells, ``(n_names, n_rows, n_arms)``.

    None where a column is of numbers, not of a byte an arm, or broken: looked at alone, it says what it is.
    Likewise where levels may be equal and of two types: True and 1.0 are different features.
    """
    flat = [*chain.from_iterable(columns)]
    if {*map(type, flat)} != {Levels}:
        return None
    of_levels = cast(Sequence[Levels], flat)
    levels, codes = [column.levels for column in of_levels], [column.codes for column in of_levels]
    limits = [*map(len, levels)]
    if {*map(len, codes)} != {n_arms} or max(limits) > _ONE_BYTE:
        return None
    if len({*map(type, chain.from_iterable(levels))} - {str}) > 1:
        return None
    table = np.frombuffer(b"".join(codes), np.uint8).reshape(-1, n_arms)
    if np.logical_or.reduce(table > np.frombuffer(bytes(limits), np.uint8)[:, None], axis=None):
        return None
    n_rows, starts, cells = len(columns[0]), array("q"), _Cells([], [])
    for place, name in enumerate(names):
        starts.extend(map(_Starts(name, cells).__getitem__, levels[place * n_rows : (place + 1) * n_rows]))
    found = (table + np.frombuffer(starts, np.int64)[:, None]).reshape(len(names), n_rows, n_arms)
    magnitudes = np.array(cells.values, np.float32).astype(np.float64)
    return np.array(cells.hashes, np.int64).take(found), magnitudes.take(found)


class _Cells(NamedTuple):
    """Of all levels that were met, one set behind the other."""

    hashes: list[int]
    values: list[float]


class _Starts(dict[tuple[FeatureValue, ...], int]):
    """Where the cells of a feature's levels begin; they are added when they are first asked for."""

    def __init__(self, name: str, cells: _Cells) -> None:
        self._name, self._cells = name, cells

    def __missing__(self, levels: tuple[FeatureValue, ...]) -> int:
        start = self[levels] = len(self._cells.hashes)
        hashes, values = _level_cells(self._name, levels, tuple(map(type, levels)))
        self._cells.hashes.extend(hashes)
        self._cells.values.extend(values)
        return start


@lru_cache(_KEPT)
def _level_cells(
    name: str, levels: tuple[FeatureValue, ...], kinds: tuple[type, ...]
) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Hashes and magnitudes of a column's levels, behind those of no value at all.

    ``kinds`` are their types: True and 1.0 are equal, and different features.
    """
    pairs = [feature_pairs({name: level}, ARM_SEED)[0] for level in levels]
    return (0, *[place for place, _ in pairs]), (0.0, *[value for _, value in pairs])


def _one_by_one(name: str, columns: Sequence[Column], n_arms: int) -> Cells:
    compiled = [compile_column(name, column, n_arms) for column in columns]
    return np.stack([hashes for hashes, _ in compiled]), np.stack([values for _, values in compiled])


def compile_column(name: str, column: Column, n_arms: int) -> Cells:
    """One feature of arms as arrays, ``(n_arms,)``.

    Raises:
        BadEvent: it is for another number of arms, or broken, or holds a number outside its range.
    """
    if isinstance(column, Levels):
        codes = codes_of(column, n_arms)
        places, magnitudes = _level_cells(name, column.levels, tuple(map(type, column.levels)))
        hashes, values = np.array(places, np.int64), np.array(magnitudes, np.float32).astype(np.float64)
        return hashes[codes], values[codes]
    numbers = numbers_of(column, n_arms).astype(np.float64)
    known = ~np.isnan(numbers)
    numbers = np.where(known, numbers, 0.0)
    if n_arms and not np.abs(numbers).max() <= MAGNITUDE_LIMIT:
        raise BadEvent(f"feature {name!r} of an arm is beyond {MAGNITUDE_LIMIT:g}")
    return np.where(known, name_hash(name, ARM_SEED), 0), numbers
