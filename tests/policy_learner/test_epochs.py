"""Epochs rise for ever, whatever becomes of the store: a sidecar never holds later ones than what comes."""

from __future__ import annotations

import pytest

from policy_learner.loop import drain, step
from sidecar.contracts import keys as app_keys
from tests.policy_learner.world import HORIZON_MS, World


def learn(world, learner):
    world.shop(4)
    while step(learner):
        pass


def order(world):
    """By what a sidecar tells which of two publications is the later one."""
    header = world.weights().header
    return header.epoch, header.version


@pytest.mark.parametrize("with_checkpoint", [True, False])
def test_after_the_store_lost_everything_later_weights_are_still_later(store, data_folder, with_checkpoint):
    """A sidecar that was not restarted takes what the next learner publishes."""
    world = World(store, data_folder)
    for _ in range(3):
        learner = world.learner()
        learn(world, learner)
    if with_checkpoint:
        drain(learner, lambda: True)
    held = order(world)
    assert held[0] == 3

    store.flushall()
    world = World(store, data_folder)
    world.move(10 * HORIZON_MS)  # the clock that the store lost with the rest was as far
    learn(world, world.learner())
    assert order(world) > held


def test_an_epoch_is_taken_above_that_of_a_checkpoint_from_elsewhere(store, data_folder):
    """A data folder that was restored from a backup holds checkpoints and perhaps nothing else."""
    world = World(store, data_folder)
    store.set(app_keys.epoch("world"), 41)
    learner = world.learner()
    learn(world, learner)
    drain(learner, lambda: True)
    (world.data.checkpoints("world") / "epoch").unlink()
    store.flushall()
    assert World(store, data_folder).learner().epoch > 42


def test_a_disk_that_is_full_does_not_keep_a_learner_from_starting(store, data_folder, monkeypatch):
    """It learns and publishes without a disk, and says that it cannot remember its epoch there."""
    world = World(store, data_folder)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("policy_learner.models.epochs.write_whole", full)
    assert world.learner().epoch == 1
