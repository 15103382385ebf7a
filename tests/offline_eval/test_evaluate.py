"""The whole path on simulated logs whose truth is known, and at the edges where there is nothing to say."""

from __future__ import annotations

import numpy as np
import pytest

from offline_eval.dataset import Window, open_log
from offline_eval.engine import connect
from offline_eval.errors import BadCandidate, BadLog
from offline_eval.evaluate import Options, evaluate, fit_model
from offline_eval.reward_model import ModelSettings
from offline_eval.scoring import score_log
from offline_eval.target_policy import Logged, Table, Uniform, greedy
from tests.offline_eval.logs import ARMS, DEVICES, START, row, simulated_rows, value_of, weights, write_log

BEST = {device: {ARMS[place]: 1.0} for place, device in enumerate(DEVICES)}
BEST_VALUE = value_of(np.eye(3, 4))
BY_DEVICE = Options(model=ModelSettings(("context.device",)))


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    """4,000 decisions of a logger that likes the wrong arm on two devices of three."""
    return write_log(tmp_path_factory.mktemp("log"), simulated_rows(4_000, seed=1), files=3)


def numbers(result) -> dict[str, float]:
    return {one.estimator: one.value.value for one in result.estimates if one.value is not None}


def test_estimates_hold_the_truth_of_a_better_policy(log):
    """Within five standard errors (a chance below 1e-6 each) for every estimator that is consistent."""
    best, uniform = evaluate(
        log, [Table("best", BEST, "context.device"), Uniform()], options=BY_DEVICE
    ).candidates

    for result, truth in ((best, BEST_VALUE), (uniform, value_of(np.full((3, 4), 0.25)))):
        for one in result.estimates:
            if one.estimator not in ("dm", "sgips_0.01", "replay"):
                assert abs(one.value.value - truth) < 5 * one.value.standard_error, one.estimator
    assert best.headline == "dr"
    assert best.verdict.startswith("green: better than the logger")
    assert uniform.verdict.startswith("green: worse than the logger")


def test_the_logger_on_its_own_log_earns_what_it_earned(log):
    """Weights are exactly one: no difference, no spread of weights, all rows effective."""
    (result,) = evaluate(log, [Logged()], options=BY_DEVICE).candidates

    for name in ("ips", "cips_10", "snips", "beta_ips"):
        assert numbers(result)[name] == result.on_policy.value.value
    differences = {one.estimator: one.difference for one in result.estimates}
    assert differences["snips"].low == differences["snips"].high == 0.0
    assert (result.effective_rows, result.max_weight) == (4_000, 1.0)


def test_the_logger_by_dr_is_its_mean_and_the_models_excess(log):
    """DR and SNDR of the logger on its own log: mean r + mean (v - q), of the rows as they were scored."""
    opened = open_log(connect(), log)
    model = fit_model(opened, "", BY_DEVICE)
    tables = [one["logged"] for one in score_log(opened, [Logged()], model, BY_DEVICE.model.keys)]
    r, v, q = (np.concatenate([one[name].to_numpy() for one in tables]) for name in ("reward", "v", "q"))

    found = numbers(evaluate(log, [Logged()], options=BY_DEVICE).candidates[0])

    assert found["dr"] == pytest.approx(r.mean() + (v - q).mean(), rel=1e-13)
    assert found["sndr"] == pytest.approx(found["dr"], rel=1e-13)


@pytest.mark.parametrize("batch_rows", [1, 70, 10_000])
def test_batches_and_threads_do_not_change_the_answer(tmp_path, batch_rows):
    """One row at a time or all at once, one thread or two: the same to 1e-12."""
    log = write_log(tmp_path, simulated_rows(100, seed=2), files=4)
    plain = evaluate(log, [Uniform()]).candidates[0]

    other = evaluate(log, [Uniform()], options=Options(batch_rows=batch_rows, threads=1)).candidates[0]

    assert numbers(other) == pytest.approx(numbers(plain), rel=1e-12)


def test_the_order_of_rows_does_not_change_the_answer(tmp_path):
    """A shuffled log has the same estimates to 1e-12."""
    rows = simulated_rows(500, seed=3)
    shuffled = [rows[i] for i in np.random.default_rng(4).permutation(500)]

    first, second = (
        evaluate(write_log(tmp_path / name, log), [Uniform()]).candidates[0]
        for name, log in (("a", rows), ("b", shuffled))
    )

    assert numbers(second) == pytest.approx(numbers(first), rel=1e-12)


def test_late_rewards_of_other_days_move_nothing_as_of_then(tmp_path):
    """What is estimated as of a moment stays the same when more of the log arrives."""
    rows = simulated_rows(400, seed=5)
    then = Window(as_of=rows[199]["finalised_at"])

    early = evaluate(write_log(tmp_path / "a", rows[:200]), [Uniform()])
    later = evaluate(write_log(tmp_path / "b", rows), [Uniform()], then)

    assert numbers(later.candidates[0]) == pytest.approx(numbers(early.candidates[0]), rel=1e-12)


def test_progress_is_told_of_every_row(log):
    """Rows done, per candidate."""
    seen = []
    evaluate(log, [Uniform(), Logged()], options=Options(batch_rows=1_000), advance=seen.append)

    assert sum(seen) == 8_000


def test_an_empty_log_gives_no_number_and_says_so(tmp_path):
    """No rows: every estimate is withheld with its reason, and the verdict is red."""
    (result,) = evaluate(write_log(tmp_path, []), [Uniform()]).candidates

    assert numbers(result) == {}
    assert {one.withheld for one in result.estimates} == {"no row counts"}
    assert result.verdict.startswith("red: no number")


def test_one_row_gives_no_number(tmp_path):
    """One row has a mean and no interval: nothing is said."""
    (result,) = evaluate(write_log(tmp_path, [row(0)]), [Uniform()]).candidates

    assert numbers(result) == {}
    assert result.on_policy.value is None


def test_without_overlap_there_is_no_number_but_the_models(tmp_path):
    """All weights are zero: IPS would say 0 and DR would silently be DM. DM alone answers, under its name."""
    log = write_log(tmp_path, [row(i, reward=float(i % 2)) for i in range(100)])

    (result,) = evaluate(log, [Table("other", {"": {"blue": 1.0}})]).candidates

    assert set(numbers(result)) == {"dm"}
    assert all("no row has an arm" in one.withheld for one in result.estimates if one.value is None)
    assert result.verdict.startswith("amber")


def test_few_effective_rows_withhold_the_weighted_estimates(tmp_path):
    """One row in fifty agrees with the candidate: its weight is no evidence."""
    rows = [
        row(i, reward=float(i % 3 == 0)) if i % 50 else row(i, arm="blue", arm_index=2, propensity=0.02)
        for i in range(200)
    ]

    (result,) = evaluate(write_log(tmp_path, rows), [Table("other", {"": {"blue": 1.0}})]).candidates

    assert set(numbers(result)) == {"dm"}


def test_a_deterministic_log_is_left_to_the_model(tmp_path):
    """All propensities are 1: IPS and DR are refused, DM is given and flagged."""
    rows = [row(i, propensity=1.0, deterministic=True, pmf=None, reward=float(i % 2)) for i in range(60)]

    (result,) = evaluate(write_log(tmp_path, rows), [Uniform()]).candidates

    assert set(numbers(result)) == {"dm"}
    assert all("by construction" in one.withheld for one in result.estimates if one.value is None)


def test_rough_filter_answers_are_left_out_of_a_mixed_log(tmp_path):
    """pre_policy rows with rewards of 100 do not touch the estimates, and are counted."""
    rows = simulated_rows(200, seed=6)
    extra = [
        row(1_000 + i, source="pre_policy", propensity=1.0, deterministic=True, reward=100.0)
        for i in range(9)
    ]

    plain, mixed = (
        evaluate(write_log(tmp_path / name, log), [Uniform()])
        for name, log in (("a", rows), ("b", rows + extra))
    )

    assert numbers(mixed.candidates[0]) == pytest.approx(numbers(plain.candidates[0]), rel=1e-12)
    assert mixed.log.left_out == {"pre_policy": 9}


def test_unknown_probabilities_of_other_arms_withhold_the_model(tmp_path):
    """An import knows one propensity a row: `logged` has no v, so DM and DR are withheld and IPS is not."""
    rows = [values | {"pmf": None, "scores": None} for values in simulated_rows(200, seed=7)]

    (result,) = evaluate(write_log(tmp_path, rows), [Logged()]).candidates

    assert set(numbers(result)) == {"ips", "cips_10", "sgips_0.01", "snips", "beta_ips"}
    assert any("are not known in 200 rows" in one.withheld for one in result.estimates)


def test_equal_rewards_have_an_interval_of_no_width(tmp_path):
    """Zero variance is an answer, not an error."""
    rows = [values | {"reward": 0.751} for values in simulated_rows(100, seed=8)]

    (result,) = evaluate(write_log(tmp_path, rows), [Uniform()]).candidates

    snips = next(one.value for one in result.estimates if one.estimator == "snips")
    assert (snips.low, snips.high) == (pytest.approx(0.751), pytest.approx(0.751))


def test_rewards_that_overflow_withhold_the_number(tmp_path):
    """1e308 is finite, its square is not: no infinity reaches a reader."""
    rows = [values | {"reward": 1e308} for values in simulated_rows(100, seed=9)]

    (result,) = evaluate(write_log(tmp_path, rows), [Uniform()]).candidates

    assert numbers(result) == {}


def test_wrong_propensities_are_noticed(tmp_path):
    """Half of all propensities too small by two: the mean weight is far from 1, and the verdict is amber."""
    rows = simulated_rows(3_000, seed=10)
    wrong = [one | {"propensity": one["propensity"] / (1 + i % 2)} for i, one in enumerate(rows)]

    (result,) = evaluate(write_log(tmp_path, wrong), [Uniform()]).candidates

    assert {check.name: check.level for check in result.checks}["mean_weight"] == "caution"
    assert result.verdict.startswith("amber")


def test_mass_on_arms_that_the_logger_never_shows_is_noticed(tmp_path):
    """Where the logged pmf is zero the target's mass has no support."""
    rows = [one | {"pmf": [0.5, 0.5, 0.0, 0.0]} for one in simulated_rows(300, seed=11)]

    (result,) = evaluate(write_log(tmp_path, rows), [Uniform()]).candidates

    support = next(check for check in result.checks if check.name == "support")
    assert (support.level, support.value) == ("caution", pytest.approx(0.5))


def test_candidates_must_be_told_apart(log):
    """Two of one name, or none."""
    with pytest.raises(BadCandidate, match="uniform is named twice"):
        evaluate(log, [Uniform(), Uniform()])
    with pytest.raises(BadCandidate, match="no candidate"):
        evaluate(log, [])


def test_a_missing_catalogue_is_named(tmp_path):
    """Scoring needs the arms as they were."""
    log = write_log(tmp_path, [row(0, catalogue="0123456789abcdef")])

    with pytest.raises(BadLog, match="catalogue '0123456789abcdef'"):
        evaluate(log, [greedy(weights())])


def test_rows_decided_later_can_be_evaluated_alone(log):
    """The held-out part by time."""
    evaluation = evaluate(log, [Uniform()], Window(since=START.replace(hour=1)))

    assert evaluation.log.counted == 400
