"""The in-adapter for many rows: those that are alike are stacked, one step of numpy for all of them.

Alike are rows with the same arms of the catalogue and the same names of fetched features, which most rows of
an application are. Contexts are padded to the widest with value 0, which changes no bit of a sum; so a row's
scores are, to the last bit, what :func:`sidecar.policy.model.scores_of` gives it alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import chain, repeat
from operator import itemgetter
from typing import NamedTuple

import numpy as np

from sidecar.contracts.application import Features
from sidecar.contracts.hashing import CONTEXT_SEED, category_hash, feature_hash, name_hash
from sidecar.contracts.wire import ScoreRow
from sidecar.policy.adapters import RowInput, adapt_in, own_arms
from sidecar.policy.arm_columns import laid_over
from sidecar.policy.arm_table import ArmTable
from sidecar.policy.features import MAGNITUDE_LIMIT, ContextInput, HashArray, Magnitudes, feature_pairs
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
    """All contexts as two arrays: feature by feature where they have the same ones, else row by row."""
    contexts = [row.context for row in rows]
    if len({*map(tuple, contexts)}) == 1 and (found := _by_feature(contexts)) is not None:
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

    None where a number is outside its range: row by row it is found which.
    """
    hashes: list[int] = []
    values: list[float] = []
    names, n_rows = tuple(contexts[0]), len(contexts)
    columns = zip(*[context.values() for context in contexts], strict=True)
    for name, column in sorted(zip(names, columns, strict=True), key=itemgetter(0)):
        kinds = {*map(type, column)}
        if kinds == {str}:
            hashes += map(category_hash, repeat(name), column, repeat(CONTEXT_SEED))
            values += repeat(1.0, n_rows)
        elif kinds == {float}:
            hashes += repeat(name_hash(name, CONTEXT_SEED), n_rows)
            values += column
        else:
            pairs = [feature_hash(name, value, CONTEXT_SEED) for value in column]
            hashes += [place for place, _ in pairs]
            values += [value for _, value in pairs]
    magnitudes = np.array(values)
    if magnitudes.size and not np.maximum.reduce(np.abs(magnitudes)) <= MAGNITUDE_LIMIT:
        return None
    shape = (len(names), n_rows)
    rounded = magnitudes.reshape(shape).T.astype(np.float32, "C").astype(np.float64)
    return np.array(hashes, np.int64).reshape(shape).T.copy(), rounded


def _arms(rows: Sequence[ScoreRow], table: ArmTable) -> tuple[HashArray, Magnitudes]:
    """The arms of every row, with what was fetched for them; where that is nothing, once for all rows."""
    if not rows[0].arm_features:
        return table.hashes[None], table.values[None]
    return laid_over(table, [row.arm_features for row in rows])
