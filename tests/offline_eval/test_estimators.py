"""Laws that every estimator keeps, and how often its interval holds the truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offline_eval.estimators import Limits, dr, replay, sndr, snips
from offline_eval.estimators.replay import has_one_propensity
from offline_eval.sums import sums_of_rows
from tests.offline_eval.scored import in_memory, scan, scored, values

ARMS = 10


@given(seed=st.integers(0, 2**16), n=st.integers(1, 60), offset=st.floats(-1e3, 1e3))
def test_the_logger_is_worth_exactly_its_mean_reward(seed, n, offset):
    """Target = logger: IPS, clipped IPS, SNIPS and beta*-IPS are the on-policy mean to the last bit."""
    rows = scored(n, seed, offset)
    limits = Limits(clip=(1.0, 10.0))
    sums = in_memory(rows | {"e": rows["propensity"]}, limits)

    found = values(sums, limits)

    for name in ("ips", "cips_1", "cips_10", "sgips_0.01", "snips", "beta_ips", "replay"):
        assert found[name][0] == found["on_policy"][0]
    assert found["dr"][0] == pytest.approx(found["sndr"][0])
    identity = np.mean(rows["reward"]) + np.mean(rows["v"] - rows["q"])
    assert found["dr"][0] == pytest.approx(identity, rel=1e-9, abs=1e-9)
    assert sums.squared_weight == n


@given(data=st.data(), power=st.integers(0, 6))
def test_the_identity_of_dr_is_exact_where_binary_numbers_are(data, power):
    """Target = logger: DR and SNDR are mean r + mean (v - q) to the last bit, for rewards in 1/1024ths."""
    n = 2**power
    r, q, v = (
        np.array(data.draw(st.lists(st.integers(-4096, 4096), min_size=n, max_size=n))) / 1024
        for _ in range(3)
    )
    p = np.full(n, 0.25)

    sums = sums_of_rows(r, p, p, q, v)

    identity = np.mean(r) + np.mean(v - q)
    assert dr.fit(sums).value == sndr.fit(sums).value == identity


def test_by_sql_too_the_logger_is_worth_exactly_its_mean_reward():
    """Two sums of the same numbers in one scan are the same number, whatever the threads do."""
    rows = scored(200_000, seed=1)
    found = values(scan(rows | {"e": rows["propensity"]}, float(rows["reward"].mean())))

    assert found["ips"][0] == found["snips"][0] == found["cips_10"][0] == found["on_policy"][0]
    assert found["on_policy"][0] == pytest.approx(float(rows["reward"].mean()), rel=1e-15)


@given(seed=st.integers(0, 2**16), scale=st.floats(0.01, 100), shift=st.floats(-100, 100))
def test_self_normalised_estimates_move_with_the_rewards(seed, scale, shift):
    """reward -> scale * reward + shift: SNIPS, beta*-IPS and SNDR do the same; their errors scale."""
    rows = scored(100, seed)
    moved = rows | {name: scale * rows[name] + shift for name in ("reward", "q", "v")}

    before, after = (values(in_memory(r)) for r in (rows, moved))

    for name in ("on_policy", "snips", "beta_ips", "sndr", "dm", "dr"):
        assert after[name][0] == pytest.approx(scale * before[name][0] + shift, rel=1e-8, abs=1e-8)
        assert after[name][1] == pytest.approx(scale * before[name][1], rel=1e-6, abs=1e-9)


def test_ips_does_not_move_with_the_rewards():
    """IPS is off by shift times the error of the mean weight: the reason to prefer the others."""
    before, after = (values(scan(scored(500, 2, offset)))["ips"][0] for offset in (0.0, 10.0))

    assert abs(after - before - 10.0) > 0.01


def test_uniform_logs_make_snips_the_replay_of_a_deterministic_target():
    """Where the logger is uniform, SNIPS of a policy that always shows one arm is the mean over its rows."""
    random = np.random.default_rng(3)
    arm, reward = random.integers(0, 4, 500), random.random(500)

    sums = sums_of_rows(reward, np.full(500, 0.25), (arm == 2).astype(float))

    assert has_one_propensity(sums)
    assert replay.fit(sums).value == snips.fit(sums).value == pytest.approx(reward[arm == 2].mean())


def test_equal_rewards_have_no_spread_and_no_negative_variance():
    """Zero variance: rounding may not take the square root of something below zero."""
    rows = scored(1_000, 4) | {"reward": np.full(1_000, 0.751)}

    found = values(scan(rows, 0.751))

    assert found["snips"] == (pytest.approx(0.751), pytest.approx(0.0, abs=1e-9))
    assert found["on_policy"][1] == 0.0


def test_one_row_has_no_interval():
    """From one row there is a value, and nothing can be said about its error."""
    assert all(np.isinf(error) for _, error in values(scan(scored(1, 5))).values())


def test_the_delta_interval_of_snips_stays_narrow_far_from_zero():
    """Width at rewards near 5 is that at rewards near 0; IPS' is many times wider."""
    near, far = (values(scan(scored(2_000, 6, offset), 0.5 + offset)) for offset in (0.0, 5.0))

    assert far["snips"][1] == pytest.approx(near["snips"][1], rel=1e-6)
    assert far["ips"][1] > 3 * near["ips"][1]


@pytest.mark.parametrize(("wrong_model", "wrong_propensity"), [(True, False), (False, True)])
def test_dr_is_right_when_either_half_is(wrong_model, wrong_propensity):
    """Mean of 400 logs within five standard errors of the truth (a chance below 1e-6), one half wrong."""
    estimates, truth = _dr_estimates(wrong_model, wrong_propensity)

    assert abs(np.mean(estimates) - truth) < 5 * np.std(estimates) / np.sqrt(len(estimates))


def test_dr_is_wrong_when_both_halves_are():
    """The counter-example: no estimator saves a wrong model under wrong propensities."""
    estimates, truth = _dr_estimates(True, True)

    assert abs(np.mean(estimates) - truth) > 10 * np.std(estimates) / np.sqrt(len(estimates))


def _world(offset: float = 0.0):
    random = np.random.default_rng(11)
    logger = 0.8 * random.dirichlet(np.full(ARMS, 2.0)) + 0.2 / ARMS
    target = 0.8 * random.dirichlet(np.full(ARMS, 2.0)) + 0.2 / ARMS
    means = 0.2 + 0.6 * random.random(ARMS) + offset
    return logger, target, means


def _dr_estimates(wrong_model: bool, wrong_propensity: bool) -> tuple[list[float], float]:
    """DR of 400 logs, and the truth."""
    random, (logger, target, means) = np.random.default_rng(13), _world()
    model = np.full(ARMS, 0.1) if wrong_model else means
    believed = np.full(ARMS, 1 / ARMS) if wrong_propensity else logger
    estimates = []
    for _ in range(400):
        arm = random.choice(ARMS, 500, p=logger)
        reward = random.random(500) < means[arm]
        rows = (reward, believed[arm], target[arm], model[arm], np.full(500, model @ target))
        estimates.append(dr.fit(sums_of_rows(*rows)).value)
    return estimates, float(target @ means)
