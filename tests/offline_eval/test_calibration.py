"""What is said of the reward model: how far off it is, and whether it has seen the answers."""

from __future__ import annotations

import msgspec
import pytest

from offline_eval.evaluate import Options, evaluate
from offline_eval.reward_model import ModelSettings
from offline_eval.target_policy import Uniform
from sidecar.contracts.weights import encode_weights, weights_of
from tests.offline_eval.logs import START, simulated_rows, weights, write_log


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    return write_log(tmp_path_factory.mktemp("log"), simulated_rows(3_000, seed=51))


def evaluated(log, **model):
    return evaluate(log, [Uniform()], options=Options(model=ModelSettings(("context.device",), **model)))


def test_every_row_is_in_a_bin_and_a_good_model_is_near_the_diagonal(log):
    """Cross-fitted, by the feature that rewards depend on."""
    found = evaluated(log)

    assert sum(one.rows for one in found.calibration) == 3_000
    assert all(abs(one.came - one.expected) < 0.1 for one in found.calibration if one.rows > 200)
    mean = sum(one.rows * one.came for one in found.calibration) / 3_000
    assert mean == pytest.approx(found.candidates[0].on_policy.value.value)
    assert next(one for one in found.checks if one.name == "model").level == "ok"
    assert found.candidates[0].verdict.startswith("green")


def test_a_model_that_has_seen_the_answers_is_warned_of(log):
    """One fold: it was fitted on the rows it is asked about."""
    found = evaluated(log, folds=1)

    assert "fitted on the rows it is asked about" in found.candidates[0].verdict
    assert found.candidates[0].verdict.startswith("amber")


def test_an_empty_log_has_no_calibration(tmp_path):
    assert evaluate(write_log(tmp_path, []), [Uniform()]).calibration == ()


def test_trained_weights_may_be_the_reward_model(log, tmp_path):
    """Their scores, cut to the rewards that there are; those that may have seen the answers are warned of."""
    later = weights()
    header = msgspec.structs.replace(later.header, trained_until_ms=int(START.timestamp() * 1000) + 10_000)
    for name, one in (("before", later), ("after", weights_of(header, later.values))):
        (tmp_path / name).write_bytes(encode_weights(one))

    before, after = (evaluated(log, weights=str(tmp_path / name)) for name in ("before", "after"))

    found = {one.estimator: one.value.value for one in before.candidates[0].estimates if one.value}
    assert found["dm"] == pytest.approx(0.0, abs=1e-12)
    assert found["dr"] == pytest.approx(found["ips"])
    assert before.candidates[0].verdict.startswith("green")
    assert "may have learnt from 11 of the rows" in after.candidates[0].verdict
