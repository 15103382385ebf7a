"""Calibrator and ECDF: monotone, within bounds, the same however the examples came, and right."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.contracts.calibration import MOST_POINTS, Calibration, check_calibration, curve_of
from sidecar.policy.calibrating import FIRST_FIT, FIT_EVERY, WINDOW, Calibrating, last_fit
from sidecar.policy.calibration import expected_of, ranks_of
from sidecar.policy.curves import calibrator_of, ecdf_of, isotonic

finite = st.floats(-1e9, 1e9, width=32)
near = st.sampled_from([-1.0, -0.0, 0.0, 0.1, float(np.float32(0.1)), 1e-40, 0.5, 1.0])
rows = st.lists(
    st.tuples(st.one_of(near, finite), st.one_of(near, finite), st.floats(1.0, 100.0, width=32)),
    min_size=1,
    max_size=300,
)


def _columns(found):
    scores, rewards, weights = (np.array(column) for column in zip(*found, strict=True))
    return scores.astype(np.float32), rewards, weights


def _fitted(scores, rewards, weights) -> Calibration:
    return Calibration(
        calibrator_of(scores, weights, weights * rewards), ecdf_of(scores, weights), len(scores)
    )


def _drawn(count: int, seed: int = 0):
    """Scores, and rewards of 0 and 1 that come with the square of the score as their probability."""
    rng = np.random.default_rng(seed)
    scores = rng.uniform(0.0, 1.0, count).astype(np.float32).astype(np.float64)
    return scores, (rng.uniform(size=count) < scores**2).astype(np.float64), np.ones(count)


@given(rows, st.lists(finite, min_size=2, max_size=50))
def test_curves_are_monotone_and_bounded(found, asked):
    """A higher score never means less, nothing is beyond what was seen, and the record takes the curves."""
    scores, rewards, weights = _columns(found)
    fitted = _fitted(scores, rewards, weights)
    between = np.linspace(scores.min(), scores.max(), 50, dtype=np.float32)
    points = fitted.calibrator.points[0], fitted.ecdf.points[0]
    at = np.sort(np.concatenate([scores, between, *points, np.array(asked, np.float32)]))
    expected, ranks = expected_of(at, fitted), ranks_of(at, fitted)
    check_calibration(fitted)
    assert (np.diff(expected) >= 0).all()
    assert (np.diff(ranks) >= 0).all()
    slack = 1e-6 * np.abs(rewards).max() + 1e-44  # of a float32
    assert rewards.min() - slack <= expected.min() <= expected.max() <= rewards.max() + slack
    assert 0.0 <= ranks.min() <= ranks.max() <= 1.0
    assert ranks_of(scores.max()[None], fitted)[0] == 1.0
    assert ranks_of(np.nextafter(scores.min(), np.float32(-np.inf))[None], fitted)[0] == 0.0


@given(rows, st.randoms(use_true_random=False))
def test_a_value_does_not_depend_on_its_company(found, random):
    """Alone, among others, in any order and shape: the same bits."""
    scores, rewards, weights = _columns(found)
    fitted = _fitted(scores, rewards, weights)
    for along in (expected_of, ranks_of):
        whole = along(scores, fitted)
        assert [along(score[None], fitted)[0] for score in scores] == whole.tolist()
        places = random.sample(range(len(scores)), len(scores))
        assert along(scores[places][:, None], fitted)[:, 0].tobytes() == whole[places].tobytes()


@given(rows)
def test_the_rank_is_the_share_at_or_below(found):
    """A 32nd off at most at what was seen, and exact at the points of the curve."""
    scores = _columns(found)[0] + np.float32(0.0)
    curve = ecdf_of(scores, np.ones(len(scores)))
    share = np.array([(scores <= score).mean() for score in scores])
    ranks = ranks_of(scores, Calibration(curve, curve, len(scores)))
    assert np.abs(ranks - share).max() <= 1 / 32 + 1e-6
    exact = np.isin(scores, curve.points[0])
    np.testing.assert_allclose(ranks[exact], share[exact], rtol=1e-6)


@given(st.lists(st.tuples(finite, st.floats(0.01, 100.0)), min_size=1, max_size=60))
def test_pooling_gives_the_nearest_monotone_values(found):
    """Never falling, the total is kept, and each pool is the mean of what it pools."""
    means, weights = (np.array(column) for column in zip(*found, strict=True))
    levels = isotonic(means, weights)
    assert (np.diff(levels) >= 0).all()
    size = np.abs(means).max() * weights.sum()
    assert levels @ weights == pytest.approx(means @ weights, abs=1e-9 * size + 1e-30)
    for level in np.unique(levels):
        pool = levels == level
        assert level == pytest.approx(np.average(means[pool], weights=weights[pool]), abs=1e-9 * size + 1e-30)


def test_what_is_expected_is_what_comes():
    """On fresh data: over tenths of the scores the mean reward is the one expected, within five errors."""
    calibrating = Calibrating()
    calibrating.observe(*_drawn(WINDOW))
    scores, rewards, _ = _drawn(50_000, seed=1)
    expected = expected_of(scores.astype(np.float32), calibrating.current).astype(np.float64)
    for tenth in np.array_split(np.argsort(scores), 10):
        p = (scores[tenth] ** 2).mean()
        fitted_on, asked = WINDOW / 10, len(tenth)
        error = np.sqrt(max(p * (1 - p), 1e-3) * (1 / fitted_on + 1 / asked))
        assert abs(expected[tenth].mean() - rewards[tenth].mean()) < 5 * error
    assert np.abs(ranks_of(scores.astype(np.float32), calibrating.current) - scores).max() < 0.05


def test_weights_count():
    """A decision kept with probability 1/4 stands for four, for both."""
    scores = np.repeat(np.float32([0.0, 1.0]), 50)
    rewards, weights = np.tile([0.0, 1.0], 50), np.tile([4.0, 1.0], 50)
    fitted = _fitted(scores, rewards, weights)
    assert expected_of(np.float32([1.0]), fitted)[0] == pytest.approx(0.2)
    assert ranks_of(np.float32([0.0, 1.0]), fitted).tolist() == pytest.approx([0.5, 1.0])


@given(
    st.integers(0, 3 * FIT_EVERY),
    st.lists(st.integers(1, 2 * FIT_EVERY), max_size=8),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=25)
def test_parts_and_restarts_change_no_bit(count, parts, seed):
    """However the examples come, and wherever the state goes through a checkpoint: the same curves."""
    columns = _drawn(count, seed)
    whole, piecewise = Calibrating(), Calibrating()
    whole.observe(*columns)
    for start, end in zip((ends := np.cumsum([0, *parts, count]).clip(max=count)), ends[1:], strict=False):
        piecewise.observe(*(column[start:end] for column in columns))
        piecewise = Calibrating.of(piecewise.state())
    assert piecewise.state() == whole.state()
    assert piecewise.current == whole.current


def test_only_the_window_counts():
    """What was seen a window ago is forgotten, in one go or in parts."""
    old, new = _drawn(WINDOW + 777), _drawn(2 * WINDOW, seed=1)
    with_past, without = Calibrating(), Calibrating()
    with_past.observe(*old)
    with_past.observe(*(column[:WINDOW] for column in new))
    with_past.observe(*(column[WINDOW:] for column in new))
    without.observe(*(np.concatenate([column[:777], more]) for column, more in zip(old, new, strict=True)))
    assert with_past.current == without.current


def test_fits_come_at_numbers_of_examples():
    """None before the first few; then at doublings, then at every thousand or so."""
    calibrating, seen = Calibrating(), []
    for number, row in enumerate(zip(*_drawn(3 * FIT_EVERY), strict=True), 1):
        before = calibrating.current
        calibrating.observe(*(np.array([value]) for value in row))
        if calibrating.current is not before:
            seen.append(number)
    assert seen == [64, 128, 256, 512, 1024, 2048, 3072]
    assert last_fit(FIRST_FIT - 1) == 0


def test_what_is_no_number_teaches_nothing():
    """Nor does what a float32 cannot hold: the other examples count as if they came alone."""
    scores, rewards, weights = _drawn(200)
    clean, mixed = Calibrating(), Calibrating()
    clean.observe(scores, rewards, weights)
    bad = np.array([np.nan, np.inf, 0.5, 0.5, 0.5, 0.5])
    mixed.observe(
        np.concatenate([bad, scores]),
        np.concatenate([[0.0, 0.0, np.nan, 1e300, 1.0, 1.0], rewards]),
        np.concatenate([[1.0, 1.0, 1.0, 1.0, np.inf, 0.0], weights]),
    )
    assert mixed.state() == clean.state()


@pytest.mark.parametrize("seed", range(3))
def test_a_record_stays_small(seed):
    """At worst, many heavy scores beside each other, both curves stay within their points."""
    rng = np.random.default_rng(seed)
    heavy = np.repeat(rng.normal(size=60), 70)
    scores = np.concatenate([heavy, rng.normal(size=500)]).astype(np.float32)
    fitted = _fitted(scores, scores.astype(np.float64), np.ones(len(scores)))
    check_calibration(fitted)
    assert len(fitted.ecdf.points[0]) <= MOST_POINTS


def test_a_line_of_one_point_is_level():
    """All scores alike: one expectation, and a rank of 0 below, 1 from there on."""
    fitted = Calibration(
        curve_of(np.array([2.0]), np.array([0.5])), curve_of(np.array([2.0]), np.array([1.0])), 1
    )
    asked = np.float32([1.0, 2.0, 3.0])
    assert expected_of(asked, fitted).tolist() == [0.5, 0.5, 0.5]
    assert ranks_of(asked, fitted).tolist() == [0.0, 1.0, 1.0]
