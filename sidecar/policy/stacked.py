"""Rows of one request that are alike, stacked: one step of numpy for all of them instead of one for each.

Alike are rows with the same arms of the catalogue and the same names of fetched features, which most rows of
an application are. Contexts are padded to the widest with value 0, which changes no bit of a sum; so a row's
scores are, to the last bit, what :func:`sidecar.policy.model.scores_of` gives it alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sidecar.contracts.arm_features import Column, Levels, codes_of
from sidecar.contracts.hashing import CONTEXT_SEED
from sidecar.contracts.weights import Weights
from sidecar.contracts.wire import ScoreRow
from sidecar.policy.adapters import (
    ArmTable,
    HashArray,
    Magnitudes,
    compile_column,
    feature_pairs,
    level_cells,
)
from sidecar.policy.model import PRIME, Scorer, terms_of_an_arm

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


def alike(rows: Sequence[ScoreRow]) -> list[list[int]]:
    """Places of rows that are alike, two at least; rows that bring their arms are left out."""
    found: dict[object, list[int]] = {}
    for place, row in enumerate(rows):
        if not row.given_arms:
            found.setdefault((row.arms, row.exploration, tuple(row.arm_features)), []).append(place)
    return [places for places in found.values() if len(places) > 1]


def in_stacks(
    places: Sequence[int],
    rows: Sequence[ScoreRow],
    arms: ArmTable,
    interactions: Sequence[str],
    n_models: int = 1,
) -> Iterator[Sequence[int]]:
    """``places`` of rows that are alike, as many at a time as fit.

    None where a row alone is so large that nothing would be gained.
    """
    n_features = max([len(rows[place].context) for place in places])
    width = int(arms.hashes.shape[1]) + len(rows[places[0]].arm_features)
    terms = len(arms.ids) * n_models * terms_of_an_arm(interactions, n_features, width)
    step = TERMS_AT_ONCE // terms
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


def scores_of_stack(rows: Stack, weights: Weights) -> npt.NDArray[np.float32]:
    """Scores of all arms of all rows, ``(n_rows, n_arms)``, added up as ``scores_of`` does."""
    return stack_scores_by(Scorer(weights), rows)


def stack_scores_by(scorer: Scorer, rows: Stack) -> npt.NDArray[np.float32]:
    """Likewise; of many models ``(n_rows, n_arms, n_models)``."""
    total = scorer.shared_sum(rows.context_hashes, rows.context_values)[:, None]
    total = total + scorer.own_sum(rows.arm_hashes, rows.arm_values)
    if "ca" in scorer.interactions:
        n_rows, n_features = rows.context_hashes.shape
        _, n_arms, width = rows.arm_hashes.shape
        shape = (n_rows, n_arms, n_features * width)
        crossed = (rows.context_hashes * PRIME)[:, None, :, None] ^ rows.arm_hashes[:, :, None, :]
        values = rows.context_values[:, None, :, None] * rows.arm_values[:, :, None, :]
        total = total + scorer.sum(crossed.reshape(shape), values.reshape(shape))
    return (total + 0.0).astype(np.float32)


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
    """Levels of all rows in one table, each different tuple of them once."""
    starts: dict[tuple[object, ...], int] = {}
    cells: list[tuple[int, float]] = []
    codes = np.empty((len(columns), n_arms), np.intp)
    for row, column in enumerate(columns):
        key = (*column.levels, *map(type, column.levels))
        if key not in starts:
            starts[key] = len(cells)
            cells += level_cells(name, column)
        codes[row] = codes_of(column, n_arms)
        codes[row] += starts[key]
    hashes = np.array([place for place, _ in cells], np.int64)
    values = np.array([value for _, value in cells], np.float32).astype(np.float64)
    return hashes[codes], values[codes]
