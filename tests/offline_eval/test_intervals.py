"""Intervals by themselves: against other people's figures, and where there is little to go by."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import beta

from offline_eval.estimators import ips, snips
from offline_eval.estimators.base import mean_fit, standard_error
from offline_eval.intervals.bernstein import bernstein, span_of_weighted
from offline_eval.intervals.clopper_pearson import clopper_pearson
from offline_eval.intervals.normal import normal
from offline_eval.intervals.sequence import sequence, widening
from offline_eval.special import beta_quantile, incomplete_beta
from offline_eval.sums import sums_of_rows


@pytest.mark.parametrize("chance", [1e-6, 0.025, 0.5, 0.975])
@pytest.mark.parametrize(("a", "b"), [(0.3, 400.0), (1.0, 1.0), (2.32, 508.9), (4000.0, 6000.0), (1e6, 3.0)])
def test_beta_quantiles_are_those_of_scipy(a, b, chance):
    """Over eight orders of magnitude."""
    assert beta_quantile(chance, a, b) == pytest.approx(beta.ppf(chance, a, b), rel=1e-9)
    assert incomplete_beta(beta.ppf(chance, a, b), a, b) == pytest.approx(chance, rel=1e-7)


@pytest.mark.parametrize("low_r", [0.0, 0.2])
def test_alternating_rewards_have_tight_intervals(low_r):
    """r = 1, 0 in turns with w = 0.4, 1.6, a million rows: every interval lies near 0.2."""
    n = 100_000
    reward, e = np.tile([1.0, low_r], n // 2), np.tile([0.2, 0.8], n // 2)
    sums = sums_of_rows(reward, np.full(n, 0.5), e, shrunk=())
    truth = float((e / 0.5 * reward).mean())

    fit = ips.fit(sums)

    for low, high in (
        normal(sums, fit),
        sequence(sums, fit),
        bernstein(sums, fit, span_of_weighted(1.6, 0.0, 1.0)),
        clopper_pearson(sums),
    ):
        assert truth - 0.05 < low < truth < high < truth + 0.05


def test_equal_rewards_have_narrow_intervals():
    """Variance zero: only what a bound must add remains."""
    sums = sums_of_rows(np.full(1_000, 0.751), np.full(1_000, 0.5), np.full(1_000, 0.5), shrunk=())
    fit = ips.fit(sums)

    assert normal(sums, fit) == pytest.approx((0.751, 0.751))
    low, high = bernstein(sums, fit, 1.0)
    assert 0.7 < low < 0.751 < high < 0.8


def test_nothing_to_go_by_is_everything_possible():
    """No row, one row, no overlap: infinite, or the whole range of a chance."""
    one = sums_of_rows([1.0], [0.5], [0.5], shrunk=())
    apart = sums_of_rows([1.0, 0.0], [0.5, 0.5], [0.0, 0.0], shrunk=())

    assert bernstein(one, ips.fit(one), 1.0) == (-math.inf, math.inf)
    assert not math.isfinite(normal(one, ips.fit(one))[1])
    assert not math.isfinite(sequence(one, ips.fit(one))[1])
    assert clopper_pearson(apart) == (0.0, 1.0)
    assert clopper_pearson(sums_of_rows([], [], [], shrunk=())) == (0.0, 1.0)


def test_clopper_pearson_of_a_fair_coin_is_the_textbooks():
    """8 of 10, with weights of one: [0.4439, 0.9748]."""
    sums = sums_of_rows([1.0] * 8 + [0.0] * 2, [0.5] * 10, [0.5] * 10, shrunk=())

    assert clopper_pearson(sums) == pytest.approx((0.44390, 0.97479), abs=1e-5)


def test_a_ratio_has_no_bernstein_bound():
    """Its denominator is random."""
    sums = sums_of_rows([1.0, 0.0], [0.5, 0.5], [0.4, 0.6], shrunk=())

    with pytest.raises(ValueError, match="for means"):
        bernstein(sums, snips.fit(sums), 1.0)


def test_the_sequence_is_about_half_as_wide_again_where_it_was_tuned():
    """1.55 plain widths at its rows; wider before and, slowly, after."""
    at = {rows: widening(rows, look_rows=10_000) / 1.96 for rows in (100, 10_000, 1_000_000)}

    assert at[10_000] == pytest.approx(1.55, abs=0.01)
    assert at[100] > 2 * at[10_000]
    assert at[10_000] < at[1_000_000] < 1.5 * at[10_000]


def test_the_sequence_is_the_published_formula():
    """s sqrt(2 (n c + 1) / (n² c) ln(sqrt(n c + 1) / a)), for a plain mean."""
    reward = np.random.default_rng(1).random(500)
    sums = sums_of_rows(reward, np.full(500, 0.5), np.full(500, 0.5), shrunk=())
    c = (-2 * math.log(0.05) + math.log(1 - 2 * math.log(0.05))) / 700

    low, high = sequence(sums, mean_fit(sums, sums.unit(2)), look_rows=700)

    spread = 500 * c + 1
    half = reward.std(ddof=1) * math.sqrt(2 * spread / (500**2 * c) * math.log(math.sqrt(spread) / 0.05))
    assert (low, high) == pytest.approx((reward.mean() - half, reward.mean() + half), rel=1e-9)
    assert standard_error(sums, ips.fit(sums)) > 0
