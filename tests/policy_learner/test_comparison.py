"""The statistics of the gate: right on the average, right about their own error, and seldom wrong."""

from __future__ import annotations

import numpy as np
import pytest

from policy_learner.gate.comparison import LEAST_OF_EACH, auc_difference, reward_difference, standard_errors
from sidecar.contracts.application import Exploration
from sidecar.policy.exploration import pmf_of

WIDE = standard_errors(0.001)
N_ARMS, RUNS, ROWS = 5, 2_000, 500


def logs(rng, better):
    """Rows that a policy drew, and two others: the candidate prefers an arm that earns ``better`` more."""
    value = np.full((ROWS, N_ARMS), 0.2)
    value[:, 1] += better
    served = np.zeros((ROWS, N_ARMS), np.float32)
    served[:, 0] = 1.0
    ours = np.zeros((ROWS, N_ARMS), np.float32)
    ours[:, 1] = 1.0
    exploration = Exploration(epsilon=0.2, control_share=0.0)
    drawn, apart = pmf_of(served, exploration), pmf_of(ours, exploration) - pmf_of(served, exploration)
    shown = (drawn.cumsum(1) > rng.random((ROWS, 1))).argmax(1)
    at = np.arange(ROWS)
    reward = (rng.random(ROWS) < value[at, shown]).astype(float)
    moved, spread = apart[at, shown] / drawn[at, shown], (apart**2 / drawn).sum(1)
    return moved, spread, reward, 0.8 * better


@pytest.mark.parametrize("better", [-0.15, 0.0, 0.3])
def test_the_difference_of_rewards_is_unbiased_and_knows_its_error(better):
    """Over 2,000 seeded logs the mean is within 5 of its standard errors, and no interval misses it below.

    An interval may miss with probability 0.001, so that more than 12 of 2,000 do so with less than 1e-6.
    """
    rng, values, missed = np.random.default_rng(1), [], 0
    for _ in range(RUNS):
        moved, spread, reward, truth = logs(rng, better)
        value, error = reward_difference(moved, spread, reward, WIDE)
        values.append(value)
        missed += value + error < truth
    assert abs(np.mean(values) - truth) < 5 * np.std(values) / np.sqrt(RUNS) + 1.0 / ROWS
    assert missed <= 12


def test_a_window_without_any_witness_for_the_candidate_condemns_nobody():
    """None shows what the candidate wants: its loss looks certain, and the known spread says it is not."""
    reward = np.tile([1.0, 0.0], 250)
    moved = np.where(reward > 0.0, -1.0, 0.0)
    value, error = reward_difference(moved, np.full(500, 1.0), reward, WIDE)
    assert value + error < 0.0
    value, error = reward_difference(moved, np.full(500, 60.0), reward, WIDE)
    assert value + error > 0.0


def test_shifting_all_rewards_moves_nothing():
    """A shop where everything earns 1,000 more is the same shop."""
    moved, spread, reward, _ = logs(np.random.default_rng(2), 0.1)
    plain, shifted = (reward_difference(moved, spread, reward + shift, WIDE) for shift in (0.0, 1000.0))
    assert shifted == pytest.approx(plain)


def test_the_difference_of_aucs_is_that_of_all_pairs():
    """By the definition, ties counted half."""
    rng = np.random.default_rng(3)
    earned = rng.random(300) < 0.3
    ours, theirs = np.round(rng.normal(size=(2, 300)) + earned, 1)

    def auc(expected):
        high, low = expected[earned][:, None], expected[~earned][None, :]
        return ((high > low) + (high == low) / 2).mean()

    found = auc_difference(ours, theirs, earned, WIDE)
    assert found.value == pytest.approx(auc(ours) - auc(theirs))
    assert auc_difference(ours, ours, earned, WIDE) == (0.0, 0.0)


def test_models_of_the_same_noise_are_not_told_apart():
    """Two models that know equally little: of 2,000 comparisons at most 12 say that one is worse (1e-6)."""
    rng, refused = np.random.default_rng(4), 0
    for _ in range(RUNS):
        earned = rng.random(400) < 0.1
        signal = rng.normal(size=400) + earned
        ours, theirs = signal + 0.5 * rng.normal(size=(2, 400))
        found = auc_difference(ours, theirs, earned, WIDE)
        refused += found is not None and found.value + found.error < 0.0
    assert refused <= 12


def test_too_few_of_a_class_say_nothing():
    """Nineteen purchases are no AUC."""
    earned = np.arange(500) < LEAST_OF_EACH - 1
    assert auc_difference(np.arange(500.0), np.arange(500.0), earned, WIDE) is None
