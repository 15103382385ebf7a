"""Evidence that may be looked at at any time, on outcomes whose means are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policy_learner.promotion.gains import NEVER, gains
from sidecar.policy.evidence import FLOORS, REACHES, Sums, log_evidence, lower_bound

N_RUNS, N_LOOKS, A_LOOK, ERROR = 1_000, 60, 20, 0.05


def sums_of(outcomes) -> Sums:
    sums = Sums()
    sums.add(np.tile(np.asarray(outcomes, float), (len(REACHES), 1)))
    return sums


def looks(run):
    """The sums at each look."""
    sums = Sums()
    for part in run:
        sums.merge(sums_of(part))
        yield sums


@pytest.mark.parametrize(
    "skew", [0.02, pytest.param(0.5, marks=pytest.mark.slow), pytest.param(0.98, marks=pytest.mark.slow)]
)
def test_looking_again_and_again_does_not_make_certain(skew):
    """Outcomes of mean 0, rare losses or rare gains, looked at 60 times: certain no oftener than stated.

    At exactly 5 % the share of 1,000 runs exceeds 7.5 % with a chance below 0.1 %; by Ville it is less.
    """
    rng = np.random.default_rng(5)
    is_high = rng.random((N_RUNS, N_LOOKS, A_LOOK)) < skew
    outcomes = np.where(is_high, 2 * (1 - skew), -2 * skew)
    wrong = sum(any(log_evidence(sums) >= -math.log(ERROR) for sums in looks(run)) for run in outcomes)
    assert wrong / N_RUNS < 0.075


def test_the_bound_lies_below_a_mean_that_changes_all_the_time():
    """Policies learn, so their difference moves: the bound holds for its average so far, at every look."""
    rng, missed = np.random.default_rng(6), 0
    for _ in range(150):
        means = 0.3 * np.sin(np.arange(1_000) / 150.0 + rng.uniform(0, 6))
        outcomes = means + rng.choice([-1.0, 1.0], 1_000)
        sums, bad = Sums(), False
        for start in range(0, 1_000, 50):
            sums.merge(sums_of(outcomes[start : start + 50]))
            bad |= lower_bound(sums, ERROR) > means[: start + 50].mean()
        missed += bad
    assert missed / 150 <= ERROR


def test_what_is_better_is_found():
    """A mean of a tenth of the spread is certain within the time that the theory promises."""
    outcomes = 0.1 + np.random.default_rng(7).choice([-1.0, 1.0], 4_000)
    sums = sums_of(outcomes)
    assert log_evidence(sums) > -math.log(0.01)
    assert 0.0 < lower_bound(sums, 0.01) < outcomes.mean()


def test_the_bound_is_where_the_evidence_suffices():
    """The two are each other's inverse."""
    sums = sums_of(np.random.default_rng(8).normal(0.4, 0.5, 500))
    bound = lower_bound(sums, 0.01)
    assert log_evidence(sums, bound) >= -math.log(0.01) > log_evidence(sums, bound + 1e-5)


def test_nothing_seen_is_nothing_known():
    """No outcome, no evidence; the difference of two values in [0, 1] is at least -1."""
    assert log_evidence(Sums()) == 0.0
    assert lower_bound(Sums(), 0.01) == -1.0


def test_sums_of_parts_are_sums_of_the_whole():
    """The order and the parts in which outcomes come make no difference."""
    outcomes = np.random.default_rng(9).normal(size=300)
    parts = sums_of(outcomes[200:])
    parts.merge(sums_of(outcomes[:200]))
    assert log_evidence(parts) == pytest.approx(log_evidence(sums_of(outcomes)), abs=1e-12)


def pmf_of_numbers(numbers):
    return np.array(numbers) / sum(numbers)


Shares = st.lists(st.floats(0.001, 1.0), min_size=4, max_size=4).map(pmf_of_numbers)


@settings(max_examples=200, deadline=None)
@given(
    ours=Shares,
    theirs=Shares,
    drawn=Shares,
    means=st.lists(st.floats(0, 1), min_size=4, max_size=4),
    baseline=st.floats(0, 1),
    power=st.floats(1, 6),
)
def test_the_mean_outcome_is_the_difference_of_the_values(ours, theirs, drawn, means, baseline, power):
    """By enumeration of arms and rewards, whatever is cut and whatever the baseline; none below the floor."""
    chances = np.maximum(drawn**power, 2 * NEVER)
    chances /= chances.sum()
    rows, arms = np.ones((8, 1)), np.arange(4).repeat(2)
    chances_of, rewards = rows * chances, np.tile([0.0, 1.0], 4)
    outcomes = gains(rows * ours, rows * theirs, chances_of, arms, rewards, baseline)
    share = chances[arms] * np.where(rewards > 0, np.array(means)[arms], 1 - np.array(means)[arms])
    wanted = float(((ours - theirs) * means).sum())
    np.testing.assert_allclose((outcomes * share).sum(1), wanted, rtol=0, atol=1e-8 * np.abs(outcomes).max())
    assert (outcomes >= -FLOORS[:, None] - 1e-9).all()


def test_policies_that_agree_say_nothing():
    """What both would have shown alike cancels to the last bit."""
    pmf = np.array([[0.7, 0.2, 0.1]])
    assert not gains(pmf, pmf, np.array([[0.2, 0.5, 0.3]]), np.array([1]), np.array([1.0]), 0.3).any()


@settings(max_examples=100, deadline=None)
@given(
    ours=Shares,
    theirs=Shares,
    chances=st.lists(st.sampled_from([0.0, 0.2, 1.0]), min_size=4, max_size=4).filter(any),
    means=st.lists(st.sampled_from([0.0, 0.4, 1.0]), min_size=4, max_size=4),
    baseline=st.floats(0, 1),
)
def test_nobody_is_praised_for_what_was_never_drawn(ours, theirs, chances, means, baseline):
    """Whatever arms earn that nobody ever saw, the mean outcome is at most the difference of the values."""
    drawn, rows, arms = np.array(chances) / sum(chances), np.ones((8, 1)), np.arange(4).repeat(2)
    rewards = np.tile([0.0, 1.0], 4)
    outcomes = gains(rows * ours, rows * theirs, rows * drawn, arms, rewards, baseline)
    share = drawn[arms] * np.where(rewards > 0, np.array(means)[arms], 1 - np.array(means)[arms])
    assert ((outcomes * share).sum(1) <= float(((ours - theirs) * means).sum()) + 1e-9).all()
    assert (outcomes >= -FLOORS[:, None] - 1e-9).all()


def test_a_challenger_does_not_win_because_the_champion_is_never_let():
    """All that is drawn is what the challenger wants; of what the champion wants nothing is known."""
    ours, theirs, chances = np.array([[0.0, 1.0]]), np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])
    for one, other in ((ours, theirs), (theirs, ours)):
        assert (gains(one, other, chances, np.array([1]), np.array([1.0]), 0.0) <= 0.0).all()
