"""Logs with everything wrong that logs have had, end to end.

What each edge case is held by, here and in other files, is the table in ``test_promises.py``.
"""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest

from offline_eval.dataset import open_log
from offline_eval.engine import connect
from offline_eval.estimators import Limits
from offline_eval.evaluate import Options, evaluate
from offline_eval.rejections import LOG_RULES, reason_sql
from offline_eval.scoring import score_log
from offline_eval.target_policy import Logged, Table, Uniform
from tests.offline_eval.logs import row, simulated_rows, write_log
from tests.offline_eval.scored import in_memory, scored, values


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
    assert result.unscored == tuple([one["decision_id"] for one in rows[:5]])
    assert not any(one.value for one in result.estimates)
    assert not result.verdict.startswith("green")


class Knows:
    """A reward model that has no idea of one arm."""

    name, caution, needs_events, bounds = "partly", "", False, (0.0, 1.0)

    def expected(self, batch, key):
        return np.where(np.array(batch.arms.to_pylist()) == "grey", np.nan, 0.5)


def test_nothing_known_of_an_arm_that_is_never_shown_harms_nobody(rows, tmp_path):
    """0 x NaN: v is known without the arm; a policy that shows it has none."""
    log = open_log(connect(), write_log(tmp_path, rows[:50]))
    red, uniform = Table("red", {"": {"red": 1.0}}), Uniform()

    (tables,) = score_log(log, [red, uniform], Knows())

    assert tables["red"]["v"].to_pylist() == [0.5] * 50
    assert tables["uniform"]["v"].null_count == 50


def test_rewards_that_were_merged_are_one_reward(tmp_path):
    """Three events of one decision: the row counts once, with what they came to."""
    made = [row(i, reward=float(i % 2), reward_source_n=3 * (i % 2)) for i in range(400)]

    result = only(write_log(tmp_path, made), Logged())

    assert result.rows == 400
    assert number(result, "ips").value == 0.5


def test_no_weight_is_ever_no_number(rows, tmp_path):
    """The largest of numbers and a NaN is NaN in DuckDB: rows are guarded before."""
    wrong = [*rows[:-1], rows[-1] | {"propensity": float("nan")}]

    assert only(write_log(tmp_path, wrong)).max_weight == pytest.approx(0.25 / 0.1)


def test_a_hair_of_a_weight_moves_a_hard_switch_and_not_a_smooth_one():
    """Ties at w = L: Switch-DR jumps by whole rows, DRos does not; so it is DRos that reports lean on."""
    columns = scored(1_000, seed=43)
    columns["e"] = np.where(np.arange(1_000) < 200, 10.0 * columns["propensity"], columns["e"])
    columns["e"] = np.minimum(columns["e"], 1.0)
    nudged = columns | {"e": columns["e"] * (1 + 1e-12)}
    limits = Limits(switch=(10.0,), optimistic=(10.0,))

    before, after = (values(in_memory(one, limits), limits) for one in (columns, nudged))

    assert abs(after["switch_dr_10"][0] - before["switch_dr_10"][0]) > 1e-4
    assert after["dros_10"][0] == pytest.approx(before["dros_10"][0], rel=1e-9)


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


def test_a_time_that_is_missing_is_counted(rows, tmp_path):
    """A row without its moment belongs to no day and no window."""
    log = open_log(connect(), write_log(tmp_path, rows[:50]))
    log.connection.execute(
        "CREATE TABLE timeless AS SELECT * REPLACE (NULL::TIMESTAMPTZ AS decided_at) FROM raw"
    )

    (reason,) = log.connection.execute(
        f"SELECT DISTINCT {reason_sql(LOG_RULES)} FROM (SELECT *, false AS is_repeat FROM timeless)"
    ).fetchall()

    assert LOG_RULES[reason[0] - 1].reason == "time_missing"


def test_rows_that_were_closed_before_they_were_made_are_noticed(rows, tmp_path):
    """Clocks that differ by hours: windows and days mean little."""
    skewed = [one | {"decided_at": one["decided_at"] + dt.timedelta(days=1)} for one in rows[:400]]

    result = only(write_log(tmp_path, skewed))

    assert level(result, "clock") == "caution"
    assert "before they were made" in result.verdict


def test_mass_where_the_logger_never_goes_bounds_the_value(tmp_path):
    """Half of the candidate's mass on an arm of probability 0: said, with what that can be worth."""
    made = [
        row(i, arm=("red", "green")[i % 2], arm_index=i % 2, propensity=0.5, pmf=[0.5, 0.5, 0.0, 0.0],
            reward=float(i % 3 == 0))
        for i in range(400)
    ]  # fmt: skip

    result = only(write_log(tmp_path, made), Table("half", {"": {"red": 0.5, "blue": 0.5}}))

    support = next(one for one in result.checks if one.name == "support")
    assert (support.level, support.value) == ("caution", pytest.approx(0.5))
    assert "its value lies in [" in support.text
    low, high = (float(x) for x in support.text.partition("[")[2].rstrip("]").split(", "))
    ips = number(result, "ips").value
    assert (low, high) == (pytest.approx(ips, abs=1e-3), pytest.approx(ips + 0.5, abs=1e-3))
