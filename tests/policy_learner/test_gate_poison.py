"""The gate against poison, through the whole loop: what is worse stays here, and truth comes back."""

from __future__ import annotations

import numpy as np
import pytest

from policy_learner.learning.trainer import Trainer
from policy_learner.loop import step
from policy_learner.models.replay import replay
from policy_learner.settings import LearnerSettings
from sidecar.contracts.application import Exploration
from sidecar.contracts.model_section import ModelConfig
from sidecar.contracts.wire import ScoreRequest, ScoreRow
from sidecar.policy.held_arms import ArmTables
from sidecar.policy.pipeline import score
from tests.policy_learner.walking import stop
from tests.policy_learner.world import ARMS, CATALOGUE, HORIZON_MS, World

A_BATCH = 50
WINDOW = 800
SETTINGS = LearnerSettings(
    publish_every_examples=1, archive_rows=1000, gate_window_examples=WINDOW, gate_compared=WINDOW
)


def wanted(event) -> int:
    """Of the four arms each device wants another one."""
    return {"ios": 1, "web": 2}[event.context["device"]]


def live(world, learner, rng, batches, flipped=False):
    """Sessions that buy what they want with 0.9 and something else with 0.1; the worth of what is served."""
    worths = []
    for _ in range(batches):
        for event in world.decide(A_BATCH):
            buys = rng.random() < (0.9 if event.arm_index == wanted(event) else 0.1)
            if buys != flipped:
                assert world.reward(event, 1.0) == "OK"
        world.move(HORIZON_MS + 1)
        while step(learner):
            pass
        worths.append(worth(world))
    return worths


def worth(world) -> float:
    """The exact value of the greedy policy on what is published."""
    earned = []
    for n in range(48):
        context = {"device": ("ios", "web")[n % 2], "hour": float(n % 24)}
        request = ScoreRequest(
            (ScoreRow(context),), (Exploration(epsilon=0.0, control_share=0.0),), "c", ARMS
        )
        (row,) = score(request, world.weights(), ArmTables()).rows
        right = {"ios": 1, "web": 2}[context["device"]]
        chances = np.where(np.arange(len(ARMS)) == right, 0.9, 0.1)
        earned.append(float(np.frombuffer(row.pmf, "<f8") @ chances))
    return float(np.mean(earned))


@pytest.fixture
def world(store, data_folder) -> World:
    world = World(store, data_folder, settings=SETTINGS)
    assert CATALOGUE.arms == ARMS
    return world


@pytest.mark.slow
def test_flipped_rewards_are_refused_and_publishing_resumes(world):
    """A third of a window of lies: nothing worse is served, and with the truth publishing comes back."""
    rng, learner = np.random.default_rng(1), world.learner()
    good = live(world, learner, rng, 16)[-1]
    assert good > 0.85
    assert learner.figures.gate_refusals == 0

    served = live(world, learner, rng, 6, flipped=True)
    stood, refusals = learner.progress.version, learner.figures.gate_refusals
    assert refusals > 0
    assert {one.version for one in learner.gatekeeper.refusals} == {stood + 1}
    refused = learner.gatekeeper.refusals[-1].verdict
    assert "below that of version" in refused.reason
    assert min(one.value for one in (refused.comparisons[0].reward, refused.comparisons[0].auc) if one) < 0.0

    served += live(world, learner, rng, 14)
    assert min(served) > good - 0.05
    assert learner.progress.version > stood
    assert (learner.progress.since, learner.gatekeeper.latest.verdict.passed) == (0, True)
    assert world.weights().header.examples == 36 * A_BATCH
    stop(learner)
    assert replay(world.application, world.data).clean


def test_what_stays_changed_is_learnt_after_about_half_a_window(world):
    """The same lies, but for good, are a change of the world: held back for a while, then followed."""
    rng, learner = np.random.default_rng(2), world.learner()
    live(world, learner, rng, 16)
    changed = live(world, learner, rng, 12, flipped=True)
    assert learner.figures.gate_refusals > 0
    assert changed[3] > 0.85
    assert changed[-1] < 0.15  # in the new world that is what earns
    assert learner.gatekeeper.latest.verdict.passed


def test_a_trainer_gone_wild_is_refused_until_it_is_sane(world, monkeypatch):
    """Steps a hundred thousand times too long: finite, bounded, in parity, and worth nothing."""
    rng, learner = np.random.default_rng(3), world.learner()
    good, sane = live(world, learner, rng, 16)[-1], learner.training.trainer
    wild = ModelConfig(bits=10, optimizer="sgd", learning_rate=1e5)
    monkeypatch.setattr(learner.training, "trainer", Trainer(wild))
    served = live(world, learner, rng, 4)
    assert learner.figures.gate_refusals > 0
    assert min(served) > good - 0.05
    stood = learner.progress.version
    monkeypatch.setattr(learner.training, "trainer", sane)
    assert min(live(world, learner, rng, 2)) > good - 0.05
    assert learner.progress.version > stood
    assert learner.gatekeeper.latest.verdict.passed
