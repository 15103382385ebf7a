"""The in-adapter for many rows: those that are alike are stacked, one step of numpy for all of them.

Alike are rows with the same arms of the catalogue and the same names of fetched features, which most rows of
an application are. Contexts are padded to the widest with value 0, which changes no bit of a sum; so a row's
scores are, to the last bit, what :func:`sidecar.policy.model.scores_of` gives it alone.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain, repeat
from typing import NamedTuple, cast

import numpy as np

from sidecar.contracts.application import Features, FeatureValue
from sidecar.contracts.hashing import CONTEXT_SEED, category_hashes, feature_hash, name_hash
from sidecar.contracts.wire import ScoreRow
from sidecar.policy.adapters import RowInput, adapt_in, own_arms
from sidecar.policy.arm_columns import laid_over
from sidecar.policy.arm_table import ArmTable
from sidecar.policy.features import MAGNITUDE_LIMIT, ContextInput, HashArray, Magnitudes, feature_pairs
from sidecar.policy.model import terms_of_an_arm

_ORDERS_KEPT = 64
"""Different sets of features whose order is remembered."""
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
    """Places of rows that are alike, each place once; a row that brings its arms is like no other."""
    found: defaultdict[object, list[int]] = defaultdict(list)
    for place, row in enumerate(rows):
        found[place if row.given_arms else (row.arms, *row.arm_features)].append(place)
    return [*found.values()]


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
    for places in alike(rows):
        arms = own_arms(rows[places[0]], table) if len(places) > 1 else None
        step = 1 if arms is None else _at_once([rows[place] for place in places], arms, interactions)
        for start in range(0, len(places), step):
            some = places[start : start + step]
            if arms is None or step == 1:
                yield Block(some, adapt_in(rows[some[0]], table))
            else:
                yield Block(some, stack([rows[place] for place in some], arms))


def _at_once(rows: Sequence[ScoreRow], arms: ArmTable, interactions: Collection[str]) -> int:
    """How many rows that are alike fit into one stack; 1 where nothing would be gained."""
    n_features = max([len(row.context) for row in rows])
    width = int(arms.hashes.shape[1]) + len(rows[0].arm_features)
    return max(1, TERMS_AT_ONCE // (len(arms.ids) * terms_of_an_arm(interactions, n_features, width)))


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
    """All contexts as two arrays: feature by feature where they have the same ones, else row by row."""
    contexts = [row.context for row in rows]
    if (found := _by_feature(contexts)) is not None:
        return found
    pairs = [feature_pairs(context, CONTEXT_SEED) for context in contexts]
    lengths = np.array([len(one) for one in pairs])
    used = np.arange(int(lengths.max())) < lengths[:, None]
    hashes, values = np.zeros(used.shape, np.int64), np.zeros(used.shape, np.float64)
    if flat := list(chain.from_iterable(pairs)):
        of, magnitudes = zip(*flat, strict=True)
        hashes[used], values[used] = of, np.array(magnitudes, np.float32)
    return hashes, values


def _by_feature(contexts: Sequence[Features]) -> tuple[HashArray, Magnitudes] | None:
    """Contexts with the same features, in the same order: checked and hashed a column at a time.

    None where they have others, or a number is outside its range: row by row it is found which.
    """
    names, n_rows = tuple(contexts[0]), len(contexts)
    if [*chain.from_iterable(contexts)] != [*names * n_rows]:
        return None
    given = [*chain.from_iterable([context.values() for context in contexts])]
    hashes: list[int] = []
    numbers: list[float] = []
    rows_of_numbers: list[int] = []
    for row, (name, start) in enumerate(_in_order(names)):
        column = given[start :: len(names)]
        if (categories := _categories(name, column)) is not None:
            hashes += categories
            continue
        added, magnitudes = _numbers(name, column)
        hashes += added
        numbers += magnitudes
        rows_of_numbers.append(row)
    exact = np.array(numbers)
    if not (np.abs(exact) <= MAGNITUDE_LIMIT).all():
        return None
    values = np.ones((n_rows, len(names)))
    values[:, rows_of_numbers] = exact.astype(np.float32).reshape(-1, n_rows).T
    return np.array(array("I", hashes), np.int64).reshape(-1, n_rows).T.copy(), values


@lru_cache(_ORDERS_KEPT)
def _in_order(names: tuple[str, ...]) -> list[tuple[str, int]]:
    """Features in the order of their names, with their places."""
    return sorted(zip(names, range(len(names)), strict=True))


def _categories(name: str, column: Sequence[FeatureValue]) -> Sequence[int] | None:
    """Hashes of one feature, row by row; None where a row has a number."""
    known = category_hashes(name, CONTEXT_SEED)
    if column[0].__class__ is str:
        try:
            return [*map(known.__getitem__, cast(Sequence[str], column))]
        except TypeError:
            return None
    if {*map(type, column)} == {bool}:
        return [known["true"] if one else known["false"] for one in column]
    return None


def _numbers(name: str, column: Sequence[FeatureValue]) -> tuple[Iterable[int], Iterable[float]]:
    """Hashes and magnitudes of one feature, row by row; a category's magnitude is 1."""
    if {*map(type, column)} == {float}:
        return repeat(name_hash(name, CONTEXT_SEED), len(column)), cast(Sequence[float], column)
    pairs = [feature_hash(name, value, CONTEXT_SEED) for value in column]
    return [place for place, _ in pairs], [magnitude for _, magnitude in pairs]


def _arms(rows: Sequence[ScoreRow], table: ArmTable) -> tuple[HashArray, Magnitudes]:
    """The arms of every row, with what was fetched for them; where that is nothing, once for all rows."""
    if not rows[0].arm_features:
        return table.hashes[None], table.values[None]
    return laid_over(table, [row.arm_features for row in rows])
