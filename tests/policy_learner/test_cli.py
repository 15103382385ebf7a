"""``sidearm replay`` and ``sidearm show`` as a user types them."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from decision_service.cli.main import root
from policy_learner.loop import drain
from sidecar.contracts.catalogue import encode_arms
from sidecar.contracts.errors import SidearmError
from tests.policy_learner.world import ARMS, World


@pytest.fixture
def logged(store, data_folder, tmp_path):
    """A log, its application's folder, and what was decided."""
    world = World(store, data_folder)
    learner = world.learner()
    events = world.shop(12)
    drain(learner, lambda: True)
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "app.toml").write_text(
        'name = "world"\npartitions = 2\n[reward]\nhorizon_s = 60\n[model]\nbits = 10\n'
    )
    (folder / "arms.json").write_bytes(encode_arms(ARMS))
    return world, folder, events


def run(logged, *arguments):
    world, folder, _ = logged
    asked = [*arguments, "--app", str(folder), "--data", str(world.data.root)]
    return CliRunner().invoke(root(), asked, env={"COLUMNS": "200"})


def test_replay_of_a_clean_log_says_so_and_exits_with_0(logged):
    """The counts, and 0 mismatches."""
    result = run(logged, "replay")
    assert result.exit_code == 0, result.output
    assert "mismatches" in result.output
    assert result.output.split("mismatches")[1].split()[0] == "0"


def test_replay_of_another_model_exits_with_1(logged):
    """Retrained with other options the weights are others, and each is named."""
    _, folder, _ = logged
    text = (folder / "app.toml").read_text()
    (folder / "app.toml").write_text(text.replace("bits = 10", "bits = 10\nlearning_rate = 0.1"))
    result = run(logged, "replay")
    assert result.exit_code == 1
    assert "weights: version 1" in result.output


def test_show_prints_a_decision_and_its_reward(logged):
    """Context, arm, probability, scores, reward, file."""
    event = logged[2][0]
    result = run(logged, "show", event.decision_id)
    assert result.exit_code == 0, result.output
    for said in (event.decision_id, event.arm, str(event.propensity), event.seed, '"device"', ".parquet"):
        assert said in result.output
    assert str(1.0 + event.arm_index) in result.output


@pytest.mark.parametrize(
    "decision_id", ["no id", "0-18bcfe5680000000000000000aa", "ff-18bcfe5680000000000000000aa"]
)
def test_show_of_an_unknown_decision_is_one_line(logged, decision_id):
    """Not a traceback: which id, and where to ask instead."""
    result = run(logged, "show", decision_id)
    assert isinstance(result.exception, SidearmError)
    assert decision_id in str(result.exception)


def test_without_a_log_there_is_nothing_to_replay(logged, tmp_path):
    """The error names the folder that was looked in."""
    _, folder, _ = logged
    result = CliRunner().invoke(root(), ["replay", "--app", str(folder), "--data", str(tmp_path / "none")])
    assert isinstance(result.exception, SidearmError)
    assert "none" in str(result.exception)
