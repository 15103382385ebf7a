"""The draw: reproducible, with the right frequencies, never an arm of probability zero."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.contracts.errors import BadExploration
from sidecar.policy.sampling import draw, seed_of

SECRET = b"a secret of the test"
seeds = st.integers(0, 2**64 - 1)


@given(st.text(max_size=40))
def test_a_seed_is_a_function_of_id_and_secret(decision_id):
    """The same id has the same 64-bit seed for ever, and another under another secret."""
    seed = seed_of(decision_id, SECRET)
    assert seed == seed_of(decision_id, SECRET)
    assert 0 <= seed < 2**64
    assert seed != seed_of(decision_id, SECRET + b".")


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=50).filter(lambda w: sum(w) > 1e-3), seeds)
def test_an_arm_of_probability_zero_is_never_drawn(weights, seed):
    """Whatever the seed, the place is legal and its probability positive."""
    pmf = np.array(weights) / np.sum(weights)
    place = draw(pmf, seed)
    assert 0 <= place < len(pmf)
    assert pmf[place] > 0.0


def test_rounding_falls_to_the_last_arm_that_can_be_drawn():
    """Ten times 0.1 sums to less than one: the largest seed draws the tenth, not the impossible eleventh."""
    pmf = np.array([0.1] * 10 + [0.0])
    pmf[9] -= 1e-12
    assert draw(pmf, 2**64 - 1) == 9


def test_frequencies_match_the_pmf():
    """Of 20,000 ids every arm gets its share within 0.0227.

    By Hoeffding's inequality (W. Hoeffding, 1963) a fair draw fails with probability below
    5 · 2 exp(-2 · 20000 · 0.0227²) < 1.2e-8.
    """
    pmf = np.array([0.5, 0.0, 0.3, 0.15, 0.05])
    drawn = [draw(pmf, seed_of(f"decision-{n}", SECRET)) for n in range(20_000)]
    shares = np.bincount(drawn, minlength=5) / len(drawn)
    bound = math.sqrt(math.log(2 * 5 / 1.2e-8) / (2 * len(drawn)))
    assert bound < 0.0228
    assert np.abs(shares - pmf).max() < bound


@pytest.mark.parametrize("pmf", [[], [0.5, 0.4], [1.5, -0.5], [float("nan"), 1.0], [0.5, 0.6]])
def test_what_is_no_pmf_is_refused(pmf):
    """No probability, one that is negative or no number, or a sum that is not one."""
    with pytest.raises(BadExploration, match="pmf is needed"):
        draw(np.array(pmf, np.float64), 1)


@pytest.mark.parametrize("secret", [b"", b"x" * 65])
def test_a_secret_of_illegal_length_is_refused(secret):
    """An empty key would make the draw anybody's to predict."""
    with pytest.raises(BadExploration, match="legal are 1 to 64"):
        seed_of("d", secret)
