"""Features by name to hashes and magnitudes.

Features are put in the order of their names, so that neither the order of a client's JSON nor that of a
dictionary can change a bit of a score.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sidecar.contracts.application import Features
from sidecar.contracts.errors import BadEvent
from sidecar.contracts.hashing import CONTEXT_SEED, category_hash, feature_hash

MAGNITUDE_LIMIT = 1e9
"""Largest feature: the square of a product of two still fits a float32, in which the trainer computes."""

HashArray = npt.NDArray[np.int64]
"""32-bit hashes, held as the integer type with which numpy looks things up."""
Magnitudes = npt.NDArray[np.float64]
"""Values rounded to float32, which is what the trainer sees, held as the type in which sums are made."""


class ContextInput(NamedTuple):
    """The features of one context: both arrays of shape ``(n_features,)``."""

    hashes: HashArray
    values: Magnitudes


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


def feature_pairs(features: Features, seed: int) -> list[tuple[int, float]]:
    """Hash and magnitude of features, in the order of their names.

    Raises:
        BadEvent: a number that is not finite or beyond ``MAGNITUDE_LIMIT``.
    """
    pairs: list[tuple[int, float]] = []
    for name in sorted(features):
        value = features[name]
        if value.__class__ is str:  # as feature_hash would: nearly all are text or numbers
            pairs.append((category_hash(name, value, seed), 1.0))
            continue
        place, magnitude = feature_hash(name, value, seed)
        if not -MAGNITUDE_LIMIT <= magnitude <= MAGNITUDE_LIMIT:
            raise BadEvent(
                f"feature {name!r} is {value}: legal are -{MAGNITUDE_LIMIT:g} to {MAGNITUDE_LIMIT:g}"
            )
        pairs.append((place, magnitude))
    return pairs
