"""Which features the weights belong to, as far as the arms and some decisions can name them.

Weights are stored by hash. The arms of the catalogues name the arms' features, the decisions that were read
name the context's, and both together name their products; what neither knows stays a number.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sidecar.contracts.application import Arm, FeatureValue
from sidecar.contracts.hashing import (
    ARM_SEED,
    CONSTANT_HASH,
    CONTEXT_SEED,
    category_hash,
    crossed,
    feature_hash,
    mask_of,
)
from sidecar.contracts.weights import Weights
from sidecar.policy.arm_table import ARM_ID_FEATURE

_PAIRS_A_TIME = 1 << 20


class NamedWeight(NamedTuple):
    """One of the largest weights."""

    place: int
    value: float
    names: tuple[str, ...]
    """Features that land on it, more than one after a collision; none when nobody can name it."""


def largest_weights(
    weights: Weights, count: int, arms: Iterable[Arm], contexts: Iterable[dict[str, FeatureValue]]
) -> list[NamedWeight]:
    """The ``count`` largest weights by absolute value, with the names that are known.

    Args:
        weights: of the model.
        count: how many.
        arms: whose features to try.
        contexts: whose features to try.
    """
    size = np.abs(weights.values)
    order = np.argsort(-size, kind="stable")[:count]
    wanted = np.sort(order[size[order] > 0])
    found: dict[int, list[str]] = {int(index): [] for index in wanted}
    of_arms, of_context = _arm_names(arms), _context_names(contexts)
    singles = {CONSTANT_HASH: "constant"} | of_arms | of_context
    _match(weights, wanted, found, singles)
    for pair in weights.header.interactions:
        first, second = (of_context if letter == "c" else of_arms for letter in pair)
        _match_products(weights, wanted, found, first, second)
    return [
        NamedWeight(int(index), float(weights.values[index]), tuple(found[int(index)]))
        for index in order
        if int(index) in found
    ]


def _arm_names(arms: Iterable[Arm]) -> dict[int, str]:
    names: dict[int, str] = {}
    for arm in arms:
        names[category_hash(ARM_ID_FEATURE, arm.id, ARM_SEED)] = f"arm {ARM_ID_FEATURE}={arm.id}"
        names |= _names(arm.features, ARM_SEED, "arm")
    return names


def _context_names(contexts: Iterable[dict[str, FeatureValue]]) -> dict[int, str]:
    names: dict[int, str] = {}
    for context in contexts:
        names |= _names(context, CONTEXT_SEED, "context")
    return names


def _names(features: dict[str, FeatureValue], seed: int, where: str) -> dict[int, str]:
    names = {}
    for name, value in features.items():
        label = name
        if isinstance(value, bool):
            label = f"{name}={str(value).lower()}"
        elif isinstance(value, str):
            label = f"{name}={value}"
        names[feature_hash(name, value, seed)[0]] = f"{where} {label}"
    return names


def _match(
    weights: Weights, wanted: npt.NDArray[np.intp], found: dict[int, list[str]], singles: dict[int, str]
) -> None:
    places, names = np.array(list(singles), np.uint32) & mask_of(weights.header.bits), list(singles.values())
    for hit in np.flatnonzero(np.isin(places, wanted)).tolist():
        found[int(places[hit])].append(names[hit])


def _match_products(
    weights: Weights,
    wanted: npt.NDArray[np.intp],
    found: dict[int, list[str]],
    first: dict[int, str],
    second: dict[int, str],
) -> None:
    """Products a block at a time: catalogues of thousands of arms make millions of them."""
    if not first or not second:
        return
    left, right = np.array(list(first), np.uint32), np.array(list(second), np.uint32)
    left_names, right_names = list(first.values()), list(second.values())
    rows = max(1, _PAIRS_A_TIME // len(right))
    for start in range(0, len(left), rows):
        places = crossed(left[start : start + rows, None], right[None, :]) & mask_of(weights.header.bits)
        for row, column in zip(*np.nonzero(np.isin(places, wanted)), strict=True):
            name = f"{left_names[start + row]} × {right_names[column]}"
            if name not in (known := found[int(places[row, column])]):
                known.append(name)
