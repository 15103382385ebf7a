"""Products of features are added up one after the other, in their order, whatever numpy finds quicker."""

from __future__ import annotations

import numpy as np
import pytest

from sidecar.contracts.weights import Weights
from sidecar.policy.model import PRIME, Scorer, products
from sidecar.policy.panel import PanelScorer, panels_of
from tests.sidecar.policy.test_panel import weights

BITS, SEED = 10, 7
SHAPES = [
    (1, 1, 1, 1),
    (1, 3, 7, 4),
    (1, 1, 9, 5),
    (2, 1, 9, 5),
    (3, 2, 1, 1),
    (5, 20, 10, 5),
    (2, 33, 40, 3),
]
"""Rows, arms, features of a context, features of an arm."""


def inputs(n_rows: int, n_arms: int, n_features: int, width: int):
    rng = np.random.default_rng(SEED)
    shapes = (n_rows, n_features), (n_rows, n_arms, width)
    hashes = [rng.integers(0, 1 << 32, shape) for shape in shapes]
    values = [rng.normal(size=shape) * 10.0 ** rng.integers(-6, 6, shape) for shape in shapes]
    return hashes[0], values[0], hashes[1], values[1]


def one_by_one(model: Weights, contexts, values, arms, arm_values) -> np.ndarray:
    """Term after term in Python's own float64."""
    total = np.zeros(arms.shape[:2])
    for row, arm in np.ndindex(*total.shape):
        for place, value in zip(contexts[row], values[row], strict=True):
            for own, own_value in zip(arms[row, arm], arm_values[row, arm], strict=True):
                at = (int(place) * PRIME ^ int(own)) % (1 << BITS)
                total[row, arm] += float(model.values[at]) * (float(value) * float(own_value))
    return total


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_sum_of_products_is_that_of_a_loop_to_the_last_bit(shape):
    given = inputs(*shape)
    found = Scorer(weights(1, BITS, ("ca",))).between_sum(*products(*given))
    assert found.tobytes() == one_by_one(weights(1, BITS, ("ca",)), *given).tobytes()


@pytest.mark.parametrize("n_models", [1, 2, 5])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_so_is_that_of_each_of_many_models(shape, n_models):
    given, members = inputs(*shape), [weights(version, BITS, ("ca",)) for version in range(1, 1 + n_models)]
    (panel,) = panels_of(members)
    found = PanelScorer(panel).between_sum(*products(*given))
    alone = [one_by_one(model, *given) for model in members]
    assert np.ascontiguousarray(np.moveaxis(found, -1, 0)).tobytes() == np.array(alone).tobytes()


def test_no_features_add_nothing():
    given = inputs(2, 3, 0, 4)
    assert Scorer(weights(1, BITS, ("ca",))).between_sum(*products(*given)).tolist() == [[0.0] * 3] * 2
