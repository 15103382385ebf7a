"""Many contexts as two arrays: feature by feature where they have the same ones, else row by row.

Contexts are padded to the widest with value 0, which changes no bit of a sum.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import chain
from typing import NamedTuple, cast

import numpy as np

from sidecar.contracts.application import Features, FeatureValue
from sidecar.contracts.hashing import CONTEXT_SEED, category_hashes, feature_hash, name_hash
from sidecar.policy.features import MAGNITUDE_LIMIT, HashArray, Magnitudes, feature_pairs

_ORDERS_KEPT = 64
"""Different sets of features whose order is remembered."""


class Contexts(NamedTuple):
    """Both ``(n_rows, n_features)``; padded with hash 0 and value 0."""

    hashes: HashArray
    values: Magnitudes

    def at(self, places: Sequence[int]) -> Contexts:
        """Some of the rows."""
        return Contexts(self.hashes.take(places, 0), self.values.take(places, 0))


def compile_contexts(contexts: Sequence[Features]) -> Contexts:
    """Contexts, one at least, as arrays; each row's bits are those that it has alone.

    Raises:
        BadEvent: a number that is not finite or beyond ``MAGNITUDE_LIMIT``.

    >>> compile_contexts([{"hour": 21.0, "device": "ios"}, {"hour": 9.0}]).values.tolist()
    [[1.0, 21.0], [9.0, 0.0]]
    """
    if (found := by_feature(contexts)) is not None:
        return found
    pairs = [feature_pairs(context, CONTEXT_SEED) for context in contexts]
    lengths = np.array([len(one) for one in pairs])
    used = np.arange(int(lengths.max())) < lengths[:, None]
    hashes, values = np.zeros(used.shape, np.int64), np.zeros(used.shape, np.float64)
    if flat := list(chain.from_iterable(pairs)):
        of, magnitudes = zip(*flat, strict=True)
        hashes[used], values[used] = of, np.array(magnitudes, np.float32)
    return Contexts(hashes, values)


def by_feature(contexts: Sequence[Features]) -> Contexts | None:
    """Contexts with the same features, in the same order: checked and hashed a column at a time.

    None where they have others, or a number is outside its range: row by row it is found which.
    """
    names, n_rows = tuple(contexts[0]), len(contexts)
    if {*map(len, contexts)} != {len(names)} or [*chain.from_iterable(contexts)] != [*names * n_rows]:
        return None
    columns = [*zip(*[context.values() for context in contexts], strict=True)]
    hashes, values = np.empty((len(names), n_rows), np.int64), np.ones((len(names), n_rows))
    numbers: list[float] = []
    of_numbers: list[int] = []
    for row, (name, place) in enumerate(_in_order(names)):
        hashes[row], magnitudes = _hashed(name, columns[place])
        if magnitudes is not None:
            numbers += magnitudes
            of_numbers.append(row)
    if numbers:
        exact = np.array(numbers)
        if not np.maximum.reduce(np.abs(exact)) <= MAGNITUDE_LIMIT:
            return None
        values[of_numbers] = exact.astype(np.float32).reshape(-1, n_rows)
    return Contexts(hashes.T, values.T)


@lru_cache(_ORDERS_KEPT)
def _in_order(names: tuple[str, ...]) -> list[tuple[str, int]]:
    """Features in the order of their names, with their places."""
    return sorted(zip(names, range(len(names)), strict=True))


def _hashed(name: str, column: Sequence[FeatureValue]) -> tuple[array[int] | int, Iterable[float] | None]:
    """Hashes of one feature, or the one hash of all rows; and magnitudes, where they are not all 1."""
    if column[0].__class__ is str:
        try:
            return _of_words(name, cast(Sequence[str], column)), None
        except TypeError:  # a row has a number
            pass
    kinds = {*map(type, column)}
    if kinds == {float}:
        return name_hash(name, CONTEXT_SEED), cast(Sequence[float], column)
    if kinds == {bool}:
        return _of_words(name, ["true" if one else "false" for one in column]), None
    pairs = [feature_hash(name, value, CONTEXT_SEED) for value in column]
    return array("I", [place for place, _ in pairs]), [magnitude for _, magnitude in pairs]


def _of_words(name: str, column: Iterable[str]) -> array[int]:
    return array("I", [*map(category_hashes(name, CONTEXT_SEED).__getitem__, column)])
