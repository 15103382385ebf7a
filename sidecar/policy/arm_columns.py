"""What was fetched for single arms: columns of levels or of numbers, laid over what the arms have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sidecar.contracts.arm_features import Column, Levels, codes_of, numbers_of
from sidecar.contracts.errors import BadEvent
from sidecar.contracts.hashing import ARM_SEED, name_hash
from sidecar.policy.arm_table import ArmTable
from sidecar.policy.features import MAGNITUDE_LIMIT, HashArray, Magnitudes, feature_pairs


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
