"""Exploration: whatever the scores, the result is a distribution with a floor."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.contracts.application import Exploration
from sidecar.contracts.errors import BadAnswer, BadExploration, NothingToScore
from sidecar.contracts.ids import new_decision_id
from sidecar.policy.exploration import SCHEMES, pmf_of
from sidecar.policy.sampling import draw, seed_of

shares = st.floats(0.0, 1.0)
score_lists = st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=200)
temperatures = st.floats(1e-6, 1e9)
gammas = st.floats(0.0, 1e9)
explorations = st.builds(
    Exploration, st.sampled_from(sorted(SCHEMES)), shares, shares, temperatures, gammas, shares
)


def _scores(values: list[float]) -> np.ndarray:
    return np.array(values, np.float32)


@given(score_lists, explorations)
def test_every_scheme_gives_a_distribution(scores, exploration):
    """It sums to one, and no arm falls below its control share, nor below the floor."""
    pmf = pmf_of(_scores(scores), exploration)
    assert pmf.dtype == np.float64
    assert abs(pmf.sum() - 1.0) < 1e-12
    assert pmf.min() >= exploration.control_share / len(scores) * (1 - 1e-12)
    assert pmf.min() >= min(exploration.floor, 1.0 / len(scores)) * (1 - 1e-12)


@given(score_lists, explorations)
def test_a_better_arm_is_never_rarer(scores, exploration):
    """Whatever the scheme; and equal scores are alike, to the last bit."""
    values = _scores(scores)
    order = np.argsort(values, kind="stable")
    steps, gaps = np.diff(pmf_of(values, exploration)[order]), np.diff(values[order])
    assert (steps >= -1e-15).all()
    assert (steps[gaps == 0.0] == 0.0).all()


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
        (
            [1.0],
            Exploration("softmax", temperature=0.0),
            BadExploration,
            "temperature is 0.0: legal is 1e-06",
        ),
        ([1.0], Exploration("squarecb", gamma=-1.0), BadExploration, "gamma is -1.0: legal is 0 to 1e"),
        ([1.0], Exploration(floor=float("nan")), BadExploration, "floor is nan"),
        ([1.0, float("nan")], Exploration(), BadAnswer, "score 1 is nan"),
        ([float("inf")], Exploration(), BadAnswer, "score 0 is inf"),
    ],
)
def test_what_has_no_pmf_is_refused(scores, exploration, error, complaint):
    """Nothing to choose from, an unknown pmf, a parameter out of range, a score that is no number."""
    with pytest.raises(error, match=complaint):
        pmf_of(_scores(scores), exploration)


@pytest.mark.parametrize("scheme", sorted(SCHEMES))
def test_rows_are_what_each_would_be_alone(scheme):
    """To the last bit, ties included."""
    exploration = Exploration(scheme, 0.13, 0.02, 0.3, 7.0, 0.01)
    for n_arms in (1, 2, 5, 17, 64, 131):
        rows = np.random.default_rng(3).integers(-3, 4, (200, n_arms)).astype(np.float32) / 7
        together = pmf_of(rows, exploration)
        assert together.tobytes() == b"".join([pmf_of(row, exploration).tobytes() for row in rows])


def _alone(scheme, **parameters):
    return Exploration(scheme, control_share=0.0, **parameters)


@given(st.lists(st.integers(-64, 64), min_size=1, max_size=30), st.floats(0.05, 50.0))
def test_softmax_is_its_closed_form(scores, temperature):
    """exp(s/T) over the sum of all of them."""
    values = np.array(scores) / 16
    mass = [math.exp((value - max(values)) / temperature) for value in values]
    pmf = pmf_of(values.astype(np.float32), _alone("softmax", temperature=temperature))
    np.testing.assert_allclose(pmf, np.array(mass) / math.fsum(mass), rtol=1e-13)


@given(st.lists(st.integers(-64, 64), min_size=1, max_size=30, unique=True), st.floats(0.0, 1e4))
def test_squarecb_is_its_closed_form(scores, gamma):
    """1 / (n + gamma * gap) for all but the best, which has the rest."""
    values = np.array(scores) / 16
    wanted = 1.0 / (len(scores) + gamma * (max(values) - values))
    best = int(np.argmax(values))
    wanted[best] = 1.0 - math.fsum(np.delete(wanted, best))
    pmf = pmf_of(values.astype(np.float32), _alone("squarecb", gamma=gamma))
    np.testing.assert_allclose(pmf, wanted, rtol=1e-12)


def test_squarecb_shares_a_tie_as_a_fair_coin_between_the_best_would():
    """The mean over who of them counts as the best: (1/3 + rest) / 2 for two of three arms."""
    pmf = pmf_of(_scores([1, 1, 0]), _alone("squarecb", gamma=6.0))
    worst = 1.0 / (3 + 6)
    assert pmf.tolist() == pytest.approx([(1 - worst) / 2, (1 - worst) / 2, worst])


@given(score_lists, shares)
def test_a_floor_that_is_kept_already_changes_no_bit(scores, epsilon):
    """And one that is not is reached exactly by the rarest arm, the order of the arms kept."""
    kept = Exploration(epsilon=epsilon, control_share=0.0)
    pmf = pmf_of(_scores(scores), kept)
    below = msgspec.structs.replace(kept, floor=epsilon / len(scores) / 2)
    above = msgspec.structs.replace(kept, floor=min(1.0, 2 * epsilon / len(scores)))
    assert pmf_of(_scores(scores), below).tobytes() == pmf.tobytes()
    wanted = max(min(above.floor, 1.0 / len(scores)), pmf.min())
    assert pmf_of(_scores(scores), above).min() == pytest.approx(wanted, rel=1e-12)


DRAWS = 1_000_000
FAILS = 1e-9
"""Probability that honest draws break the bound anywhere in one of these tests."""
SOME = np.array([0.3, 0.9, 0.9, -0.2, 0.1, 0.85, 0.0], np.float32)


@pytest.fixture(scope="module")
def seeds():
    """A million, as decisions have them."""
    found = (seed_of(new_decision_id(1, 1_700_000_000_000, n), b"secret") for n in range(DRAWS))
    return np.fromiter(found, np.uint64, DRAWS)


@pytest.mark.parametrize(
    "exploration",
    [
        Exploration("epsilon_greedy", 0.2, 0.02),
        Exploration("softmax", control_share=0.01, temperature=0.2),
        Exploration("squarecb", control_share=0.0, gamma=40.0),
        Exploration("squarecb", control_share=0.01, gamma=1e6, floor=0.004),
        Exploration("uniform"),
    ],
    ids=lambda exploration: f"{exploration.scheme}-{exploration.floor:g}",
)
def test_a_million_draws_have_the_frequencies_of_the_pmf(exploration, seeds):
    """Each arm's within Bernstein's bound, which all arms together break with probability 1e-9 at most.

    Bernstein: P(|f - p| > t) <= 2 exp(-n t^2 / (2 (p (1 - p) + t / 3))); S. Boucheron, G. Lugosi and
    P. Massart, "Concentration Inequalities", 2013, theorem 2.10.
    """
    pmf = pmf_of(SOME, exploration)
    arms = np.searchsorted(np.cumsum(pmf), (seeds >> np.uint64(11)) * 2.0**-53, side="right")
    assert [draw(pmf, int(seed)) for seed in seeds[:2000]] == arms[:2000].tolist()
    frequencies = np.bincount(arms, minlength=len(pmf)) / DRAWS
    each = math.log(2 * len(pmf) / FAILS) / DRAWS
    bound = each / 3 + np.sqrt((each / 3) ** 2 + 2 * pmf * (1 - pmf) * each)
    assert (np.abs(frequencies - pmf) <= bound).all()
