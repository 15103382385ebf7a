"""Logs with everything wrong that logs have had: each row of the table of edge cases, end to end.

What is met elsewhere is not repeated: bad values by reason and rewards far from zero (``test_sums``), laws of
estimators (``test_estimators``), users with many rows and looks (``test_coverage``), loggers
(``test_loggers``), health (``test_doctor``), late rewards, empty logs and no overlap (``test_evaluate``).
"""

from __future__ import annotations

import numpy as np
import pytest

from offline_eval.evaluate import Options, evaluate
from offline_eval.target_policy import Logged, Table, Uniform
from tests.offline_eval.logs import row, simulated_rows, write_log


@pytest.fixture(scope="module")
def rows():
    return simulated_rows(2_000, seed=41)


def only(log, candidate=None, **options):
    (result,) = evaluate(log, [candidate or Uniform()], options=Options(**options)).candidates
    return result


def number(result, estimator: str):
    return next(one.value for one in result.estimates if one.estimator == estimator)


def level(result, check: str) -> str:
    return next(one.level for one in result.checks if one.name == check)


def test_one_tiny_propensity_among_healthy_rows_withholds_what_it_would_carry(rows, tmp_path):
    """p = 1e-6, sound by itself: one row is nearly all of the weight, and no weighted number is given."""
    heavy = [*rows[:-1], rows[-1] | {"propensity": 1e-06, "reward": 1.0}]

    result = only(write_log(tmp_path, heavy))

    assert {one.estimator for one in result.estimates if one.value} == {"dm"}
    assert level(result, "ess") == "stop"
    assert level(result, "top_share") == "caution"


@pytest.mark.parametrize("value", [0.0, float("nan"), 1.7, 1e-320, -0.5])
def test_one_wrong_propensity_of_two_thousand_changes_no_digit(rows, tmp_path, value):
    """It is counted, and everything else is as without that row."""
    wrong = [*rows[:-1], rows[-1] | {"propensity": value}]

    found, without = only(write_log(tmp_path / "a", wrong)), only(write_log(tmp_path / "b", rows[:-1]))

    assert number(found, "snips").value == pytest.approx(number(without, "snips").value, rel=1e-12)
    assert number(found, "ips").standard_error == pytest.approx(number(without, "ips").standard_error)


def test_rewards_that_have_not_come_are_in_neither_numerator_nor_denominator(tmp_path):
    """Half the rewards of 1 missing: the mean is 1, not one half."""
    late = [row(i, reward=1.0 if i % 2 else None) for i in range(400)]

    result = only(write_log(tmp_path, late), Logged())

    assert number(result, "ips").value == number(result, "snips").value == 1.0


class Broken:
    """A policy whose probabilities are none."""

    name, needs_events, key = "broken", False, ()

    def __init__(self, entries):
        self._entries = np.array(entries)

    def pmf(self, batch):
        return np.tile(self._entries, len(batch))

    def chosen(self, batch, pmf):
        return pmf[batch.chosen]


@pytest.mark.parametrize(
    "entries", [(0.5, 0.5, 0.25, 0.25), (1.5, -0.5, 0.0, 0.0), (np.nan,) * 4, (0.0, 0.0, 0.0, 0.0)]
)
def test_a_policy_that_is_no_distribution_has_no_number(rows, tmp_path, entries):
    """Sums to 1.5, has entries outside [0, 1], is no number, or is nothing at all: rows are rejected."""
    result = only(write_log(tmp_path, rows), Broken(entries))

    assert sum(result.rejected.values()) > 0
    if entries != (1.5, -0.5, 0.0, 0.0):
        assert not any(one.value for one in result.estimates)
    assert not result.verdict.startswith("green")


def test_the_set_of_eligible_arms_may_differ_by_row(tmp_path):
    """Two arms here and four there: the logger is worth its mean, uniform what rows say."""
    random = np.random.default_rng(1)
    made = []
    for i in range(1_200):
        arms = ("red", "green") if i % 2 else ("red", "green", "blue", "grey")
        place = int(random.integers(len(arms)))
        reward = float(random.random() < (0.5 if arms[place] == "red" else 0.1))
        made.append(row(i, arms, arm=arms[place], arm_index=place, reward=reward))
    log = write_log(tmp_path, made)

    result = only(log, Table("red", {"": {"red": 1.0}}))

    assert abs(number(result, "snips").value - 0.5) < 5 * number(result, "snips").standard_error
    assert only(log).estimates[0].difference.value == 0.0
    assert next(one for one in result.estimates if one.estimator == "replay").withheld


def test_uniform_logs_have_a_replay(tmp_path):
    """One propensity throughout: replay of a fixed arm is the mean over its rows."""
    random = np.random.default_rng(2)
    arms = ("red", "green", "blue", "grey")
    places = random.integers(4, size=800)
    rewards = (random.random(800) < 0.2).astype(float)
    made = [row(i, arm=arms[p], arm_index=int(p), reward=float(rewards[i])) for i, p in enumerate(places)]

    result = only(write_log(tmp_path, made), Table("red", {"": {"red": 1.0}}))

    mean = np.mean([one["reward"] for one in made if one["arm"] == "red"])
    assert number(result, "replay").value == pytest.approx(mean)


def test_rows_of_a_user_that_are_alike_are_noticed(tmp_path):
    """Twenty equal rows a user: the interval by unit is wider, and the verdict says so."""
    alike = [
        one | {"unit_id": f"u-{i}", "unit_bucket": i % 1024, "decision_id": f"0-{i:020x}{copy:07x}"}
        for i, one in enumerate(simulated_rows(300, seed=42))
        for copy in range(20)
    ]

    result = only(write_log(tmp_path, alike))

    units = next(check for check in result.checks if check.name == "units")
    assert units.level == "caution"
    assert units.value == pytest.approx(20**0.5, rel=0.1)
    assert "times as wide" in result.verdict


def test_a_heavy_tail_is_noticed(tmp_path):
    """Propensities over four orders of magnitude, as of a policy sure of itself: Pareto k above 0.7."""
    random = np.random.default_rng(3)
    # Of the arm shown: small ones are rare, in proportion to themselves.
    p = np.clip(random.random(4_000) ** (1 / 1.1), 2e-4, 0.9)
    rewards = (random.random(4_000) < 0.2).astype(float)
    made = [row(i, propensity=float(p[i]), pmf=None, reward=float(rewards[i])) for i in range(4_000)]

    result = only(write_log(tmp_path, made))

    assert next(check.value for check in result.checks if check.name == "pareto_k") > 0.7
    assert not result.verdict.startswith("green")
