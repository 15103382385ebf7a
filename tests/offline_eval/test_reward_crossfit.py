"""VW as the reward model: cross-fitted by unit, as good as it says, and found by its name."""

from __future__ import annotations

import json

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from offline_eval import reward_crossfit
from offline_eval.batches import read_batches
from offline_eval.cli import evaluate_command
from offline_eval.dataset import open_log
from offline_eval.engine import connect
from offline_eval.errors import BadCandidate
from offline_eval.evaluate import Options, evaluate
from offline_eval.reward_crossfit import fit_crossfitted
from offline_eval.reward_model import ModelSettings
from offline_eval.target_policy import Uniform
from policy_learner.learning.reward_trainer import MODEL, VwRewards
from policy_learner.learning.vw_learner import VwParams, fit_vw
from sidecar.contracts.events import arms_of
from sidecar.policy.held_arms import ArmTables
from sidecar.policy.learning import objects_of
from sidecar.policy.pipeline import scores_of_event
from tests.offline_eval.logs import simulated_rows, write_log

VW = ModelSettings(learner="vw")
app = typer.Typer()
app.command()(evaluate_command)


@pytest.fixture(scope="module")
def rows():
    return simulated_rows(3_000, seed=81)


@pytest.fixture(scope="module")
def log(rows, tmp_path_factory):
    return write_log(tmp_path_factory.mktemp("log"), rows, files=2)


def batches(log):
    return list(read_batches(log, "", {}, with_events=True, batch_rows=5_000))


def expected(folder, settings=VW) -> list[tuple[np.ndarray, np.ndarray]]:
    """Of every batch the folds of its rows, and what is expected of their arms, four each."""
    log = open_log(connect(), folder)
    model = fit_crossfitted(log, "", settings)
    return [
        (one.numbers("unit_bucket") % settings.folds, model.expected(one, "").reshape(-1, 4))
        for one in batches(log)
    ]


def test_a_fold_is_answered_from_the_others(rows, log, tmp_path):
    """Other rewards of a fold: its own answers stay to the last bit, and those of the others do not."""
    changed = [one | {"reward": 1.0} if one["unit_bucket"] % 5 == 2 else one for one in rows]

    before, after = expected(log), expected(write_log(tmp_path, changed, files=2))

    for (folds, one), (_, other) in zip(before, after, strict=True):
        assert np.array_equal(one[folds == 2], other[folds == 2])
        assert not np.isclose(one[folds != 2], other[folds != 2], atol=1e-3).all()


def test_what_is_learnt_is_what_the_learner_learns(log):
    """Part by part as all at once: the same weights, and the scores of the code that serves."""
    opened = open_log(connect(), log)
    read = batches(opened)
    events = [event for batch in read for event in batch.events]
    rewards = np.concatenate([batch.numbers("reward") for batch in read])
    arms = [arms_of(event, opened.catalogue(event.catalogue)) for event in events]
    table = {"event": objects_of(events), "arms": objects_of(arms), "reward": rewards}

    whole = fit_vw(table, VwParams(MODEL)).predict(table)["score"]
    ours = VwRewards(opened.catalogue)
    for batch in read:
        ours.learn(batch.events, batch.numbers("reward").tolist())

    weights, tables = ours.weights(), ArmTables()
    scores = [
        scores_of_event(event, opened.catalogue(event.catalogue), weights, tables)[event.arm_index]
        for event in events
    ]
    np.testing.assert_array_equal(np.array(scores, np.float32), whole)


def test_the_command_evaluates_by_it_and_shows_its_calibration(log, tmp_path):
    """Named, on the diagonal, without a warning; its DR agrees with that of the closed form."""
    out = tmp_path / "evaluation.json"
    options = ["--log", log, "--candidate", "uniform", "--reward-model", "vw", "--json", out]

    result = CliRunner().invoke(app, [str(one) for one in options])

    assert result.exit_code == 0, result.output
    found = json.loads(out.read_text())
    checks = {one["name"]: one["text"] for one in found["checks"]}
    assert "vw, cross-fitted by unit in 5 folds" in checks["model"]
    assert "model_seen" not in checks
    assert sum(one["rows"] for one in found["calibration"]) == 3_000
    assert all(abs(one["came"] - one["expected"]) < 0.1 for one in found["calibration"] if one["rows"] > 300)
    closed = evaluate(log, [Uniform()], options=Options(model=ModelSettings(("context.device",))))
    dr = next(one.value for one in closed.candidates[0].estimates if one.estimator == "dr")
    (ours,) = (one["value"] for one in found["candidates"][0]["estimates"] if one["estimator"] == "dr")
    assert abs(ours["value"] - dr.value) < dr.standard_error
    assert ours["standard_error"] == pytest.approx(dr.standard_error, rel=0.1)


def test_one_fold_has_seen_the_answers_and_is_warned_of(log):
    (result,) = evaluate(
        log, [Uniform()], options=Options(model=ModelSettings(learner="vw", folds=1))
    ).candidates

    assert result.verdict.startswith("amber")
    assert "fitted on the rows it is asked about" in result.verdict


def test_an_empty_log_teaches_nothing(tmp_path):
    found = evaluate(write_log(tmp_path, []), [Uniform()], options=Options(model=VW))

    assert found.candidates[0].verdict.startswith("red: no number")


def test_without_the_learner_it_is_said_how_to_install_it(log, monkeypatch):
    """Its name is known, and nobody has it."""
    monkeypatch.setattr(reward_crossfit, "_points", lambda name: ())

    result = CliRunner().invoke(app, ["--log", str(log), "--reward-model", "vw"])

    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "pip install 'sidearm[learn]'" in result.stderr


def test_no_folds_are_refused(log):
    with pytest.raises(BadCandidate, match="folds >= 1"):
        fit_crossfitted(open_log(connect(), log), "", ModelSettings(learner="vw", folds=0))
