"""Whatever the model is set to: resumed and rebuilt from the log, it is the published one, bit for bit."""

from __future__ import annotations

from itertools import product

import msgspec
import pytest

from policy_learner.archive.archive_reader import versions
from policy_learner.loop import checkpoint, drain, step
from policy_learner.models.replay import replay
from policy_learner.settings import LearnerSettings
from sidecar.contracts.model_section import ModelConfig
from tests.policy_learner.world import World

RATE = {"sgd": 0.0003, "adaptive": 0.5, "ftrl": 0.5, "coin": 0.5}
MODELS = {
    f"{optimizer}-{cb_type}{'-shuffled' * bool(shuffle)}": ModelConfig(
        bits=10, optimizer=optimizer, cb_type=cb_type, shuffle=shuffle, learning_rate=RATE[optimizer]
    )
    for optimizer, cb_type, shuffle in product(
        ("adaptive", "sgd", "ftrl", "coin"), ("mtr", "ips", "dm", "dr"), (0, 16)
    )
} | {
    "crossed": ModelConfig(bits=10, interactions=("ca", "aa", "cc"), shuffle=16),
    "constant rate": ModelConfig(bits=10, power_t=0.0, shuffle=16),
    "constant rate, sgd": ModelConfig(bits=10, optimizer="sgd", power_t=0.0, learning_rate=0.0003),
    "late start": ModelConfig(bits=10, initial_t=5.0, cb_type="dr"),
    "late start, sgd": ModelConfig(bits=10, optimizer="sgd", initial_t=5.0, learning_rate=0.0003),
    "beta, ftrl": ModelConfig(bits=10, optimizer="ftrl", ftrl_beta=0.3),
    "beta, coin": ModelConfig(bits=10, optimizer="coin", ftrl_beta=0.3),
}
SETTINGS = LearnerSettings(publish_every_examples=1, archive_rows=1000)


def _world(store, data_folder, model: ModelConfig, settings: LearnerSettings = SETTINGS) -> World:
    world = World(store, data_folder, settings=settings)
    world.application = msgspec.structs.replace(world.application, model=model)
    return world


def _round(world: World, learner, decisions: int = 9) -> None:
    """Decisions with the weights of now, matured, learnt and published."""
    world.shop(decisions)
    world.now_s += 1.0
    while step(learner):
        pass


@pytest.mark.parametrize("name", MODELS)
def test_resumed_and_rebuilt_is_the_published_model(store, data_folder, name):
    """A checkpoint in the middle, a restart that trains again what came after, and the log from the start."""
    world = _world(store, data_folder, MODELS[name])
    learner = world.learner()
    for _ in range(3):
        _round(world, learner)
    checkpoint(learner, now=True)
    _round(world, learner)

    resumed = world.learner()
    assert not resumed.figures.rebuild_mismatch
    ours, theirs = resumed.training.trainer.weights_values(), learner.training.trainer.weights_values()
    assert ours.tobytes() == theirs.tobytes()
    _round(world, resumed)
    drain(resumed, lambda: True)

    result = replay(world.application, world.data)
    assert result.told == []
    assert (result.counts["examples"], result.counts["scored"]) == (45, 45)
    assert result.counts["versions"] >= 5


def test_a_shuffled_block_is_learnt_in_another_order_and_says_so(store, data_folder):
    """The version log names the blocks that were shuffled; the option can change at any start."""
    world = _world(store, data_folder, ModelConfig(bits=10))
    learner = world.learner()
    _round(world, learner)
    drain(learner, lambda: True)
    for shuffle in (16, 0, 4):
        world.application = msgspec.structs.replace(
            world.application, model=ModelConfig(bits=10, shuffle=shuffle)
        )
        learner = world.learner()
        _round(world, learner, 30)
        drain(learner, lambda: True)

    said = [batch.shuffled for entry in versions(world.log, "world") for batch in entry.batches]
    assert sorted(set(said)) == [False, True]
    assert replay(world.application, world.data).told == []


def test_blocks_fill_up_until_the_next_version_is_due(store, data_folder):
    """Examples wait in the stream for their block, no longer than they would for a version."""
    world = _world(
        store, data_folder, ModelConfig(bits=10, shuffle=16), LearnerSettings(publish_every_s=10.0)
    )
    learner = world.learner()
    for _ in range(3):
        world.shop(3)
        world.now_s += 3.0
        step(learner)
    assert learner.training.examples == 0
    world.now_s += 1.0
    step(learner)
    assert learner.training.examples == 9
    assert learner.progress.version == 1

    world.shop(2 * 40)
    step(learner)  # closes them
    world.now_s += 10.0
    step(learner)
    assert learner.training.examples == 9 + 2 * 16
    step(learner)
    step(learner)
    assert learner.training.examples == 9 + 80


def test_an_orderly_stop_learns_the_block_that_was_filling_up(store, data_folder):
    """Nothing that is due is left for the next start."""
    world = _world(
        store, data_folder, ModelConfig(bits=10, shuffle=16), LearnerSettings(publish_every_s=10.0)
    )
    learner = world.learner()
    world.shop(7)
    drain(learner, lambda: True)
    assert (learner.training.examples, learner.progress.version) == (7, 1)
