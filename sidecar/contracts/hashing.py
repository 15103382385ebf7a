"""Feature name to place among the weights: Vowpal Wabbit's own hash, as with its ``--hash all``.

Learning and serving share this file, so a feature lands on the same weight in both. What is stored here is
the full 32-bit hash; it is masked to the model's bits only where a weight is looked up, so that one compiled
catalogue serves models of any size.

Source: MurmurHash3, A. Appleby, 2011; the feature hashing of K. Weinberger et al., "Feature Hashing for Large
Scale Multitask Learning", 2009; quadratic features as in Vowpal Wabbit's ``-q``.
"""

from __future__ import annotations

from functools import lru_cache

import mmh3
import numpy as np
import numpy.typing as npt

from sidecar.contracts.application import FeatureValue

Hashes = npt.NDArray[np.uint32]

CONTEXT_NAMESPACE = "c"
ARM_NAMESPACE = "a"
CONSTANT_HASH = 11_650_396
"""VW's constant feature, present in every example with the value 1."""

_QUADRATIC_PRIME = np.uint32(16_777_619)
_NAMES_KEPT = 65_536  # bounds the memory of a stream of ever new names (about 10 MB)
_CATEGORIES_KEPT = 256
"""Of one feature, and of how many features."""


def namespace_hash(namespace: str) -> int:
    """The seed with which the names of a namespace are hashed.

    >>> namespace_hash("c")
    3778205279
    """
    return int(mmh3.hash(namespace, 0, signed=False))


CONTEXT_SEED = namespace_hash(CONTEXT_NAMESPACE)
ARM_SEED = namespace_hash(ARM_NAMESPACE)


@lru_cache(maxsize=_NAMES_KEPT)
def name_hash(name: str, seed: int) -> int:
    """The full 32-bit hash of a name inside the namespace that ``seed`` stands for.

    >>> name_hash("device=ios", CONTEXT_SEED)
    3177546151
    """
    return int(mmh3.hash(name, seed, signed=False))


@lru_cache(maxsize=_NAMES_KEPT)
def category_hash(name: str, value: str, seed: int) -> int:
    """The full hash of a category: that of the name ``name=value``, whose magnitude is 1."""
    return int(mmh3.hash(f"{name}={value}", seed, signed=False))


class CategoryHashes(dict[str, int]):
    """Hashes of one feature's categories by their values, for columns: a look-up costs a third of a call.

    Ever new values cost no memory: when there are too many, all are forgotten (``category_hash`` knows more).

    Raises:
        TypeError: at the look-up of what is not text.
    """

    def __init__(self, name: str, seed: int) -> None:
        super().__init__()
        self._name, self._seed = name, seed

    def __missing__(self, value: str) -> int:
        if value.__class__ is not str:
            raise TypeError(f"{value!r} is no text")
        if len(self) >= _CATEGORIES_KEPT:
            self.clear()
        found = self[value] = category_hash(self._name, value, self._seed)
        return found


category_hashes = lru_cache(maxsize=_CATEGORIES_KEPT)(CategoryHashes)


def feature_hash(name: str, value: FeatureValue, seed: int) -> tuple[int, float]:
    """Hash and magnitude of one feature: text and truth are categories, numbers are magnitudes.

    >>> feature_hash("returning", True, CONTEXT_SEED) == feature_hash("returning", "true", CONTEXT_SEED)
    True
    >>> feature_hash("price", 12.5, ARM_SEED)[1]
    12.5
    """
    if isinstance(value, str):
        return category_hash(name, value, seed), 1.0
    if isinstance(value, bool):
        return category_hash(name, "true" if value else "false", seed), 1.0
    return name_hash(name, seed), value


def crossed(first: Hashes, second: Hashes) -> Hashes:
    """Hashes of the products of two features, element by element (broadcasting). Not symmetric.

    >>> int(crossed(np.uint32([7]), np.uint32([9]))[0])
    117443340
    """
    return (first * _QUADRATIC_PRIME) ^ second


def mask_of(bits: int) -> np.uint32:
    """What keeps a hash inside ``2 ** bits`` weights.

    >>> int(mask_of(18))
    262143
    """
    return np.uint32((1 << bits) - 1)
