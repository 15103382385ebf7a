"""Exploration: whatever the scores, the result is a distribution with a floor."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.contracts.application import Exploration
from sidecar.contracts.errors import BadExploration, NothingToScore
from sidecar.policy.exploration import SCHEMES, pmf_of

shares = st.floats(0.0, 1.0)
score_lists = st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=200)
explorations = st.builds(Exploration, st.sampled_from(sorted(SCHEMES)), shares, shares)


def _scores(values: list[float]) -> np.ndarray:
    return np.array(values, np.float32)


@given(score_lists, explorations)
def test_every_scheme_gives_a_distribution(scores, exploration):
    """It sums to one, and no arm falls below its control share."""
    pmf = pmf_of(_scores(scores), exploration)
    assert pmf.dtype == np.float64
    assert abs(pmf.sum() - 1.0) < 1e-12
    assert pmf.min() >= exploration.control_share / len(scores) * (1 - 1e-12)


@given(score_lists, shares, shares)
def test_epsilon_greedy_keeps_its_floor_and_prefers_the_best(scores, epsilon, control):
    """No arm gets less than its even share of epsilon and control, and a best arm never less than another."""
    pmf = pmf_of(_scores(scores), Exploration(epsilon=epsilon, control_share=control))
    floor = ((1.0 - control) * epsilon + control) / len(scores)
    assert pmf.min() >= floor * (1 - 1e-9) - 1e-18
    assert pmf[int(np.argmax(_scores(scores)))] == pmf.max()


@given(score_lists, explorations, st.randoms(use_true_random=False))
def test_the_order_of_the_arms_does_not_matter(scores, exploration, rng):
    """An arm's probability moves with it."""
    order = list(range(len(scores)))
    rng.shuffle(order)
    pmf = pmf_of(_scores(scores), exploration)
    assert np.array_equal(pmf_of(_scores(scores)[order], exploration), pmf[order])


def test_ties_share_the_greedy_mass():
    """Arms with equal best scores are alike; all equal, as before the first weights, is uniform."""
    exploration = Exploration(epsilon=0.2, control_share=0.0)
    assert pmf_of(_scores([1, 1, 0, 0]), exploration).tolist() == pytest.approx([0.45, 0.45, 0.05, 0.05])
    assert np.ptp(pmf_of(np.zeros(7, np.float32), exploration)) == 0.0


def test_the_control_share_is_part_of_the_propensity():
    """One percent uniform on top of greedy: 0.99 · 1 + 0.01 / 2 and 0.01 / 2."""
    pmf = pmf_of(_scores([1, 0]), Exploration(epsilon=0.0, control_share=0.01))
    assert pmf.tolist() == pytest.approx([0.995, 0.005], abs=1e-15)


@pytest.mark.parametrize(
    ("scores", "exploration", "error", "complaint"),
    [
        ([], Exploration(), NothingToScore, "no arm"),
        ([1.0], Exploration("logged"), BadExploration, "'logged' says nothing of the other arms"),
        ([1.0], Exploration(epsilon=1.5), BadExploration, "epsilon is 1.5: legal is 0 to 1"),
        ([1.0], Exploration(control_share=float("nan")), BadExploration, "control_share is nan"),
        ([1.0, float("nan")], Exploration(), BadExploration, "score 1 is nan"),
        ([float("inf")], Exploration(), BadExploration, "score 0 is inf"),
    ],
)
def test_what_has_no_pmf_is_refused(scores, exploration, error, complaint):
    """Nothing to choose from, an unknown pmf, a parameter out of range, a score that is no number."""
    with pytest.raises(error, match=complaint):
        pmf_of(_scores(scores), exploration)


@pytest.mark.parametrize("scheme", sorted(SCHEMES))
def test_rows_are_what_each_would_be_alone(scheme):
    """To the last bit, ties included."""
    rows = np.random.default_rng(3).integers(-3, 4, (200, 5)).astype(np.float32) / 7
    exploration = Exploration(scheme, 0.13, 0.02)
    together = pmf_of(rows, exploration)
    assert together.tobytes() == b"".join([pmf_of(row, exploration).tobytes() for row in rows])
