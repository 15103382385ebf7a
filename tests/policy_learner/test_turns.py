"""A gate that refuses for long: the list of what the next version was trained on stays short, and exact."""

from __future__ import annotations

import msgspec
import pytest

from policy_learner import loop, turns
from policy_learner.loop import drain, step
from policy_learner.models.replay import replay
from policy_learner.settings import LearnerSettings
from sidecar.contracts.application import ModelConfig
from sidecar.contracts.learner_report import Verdict
from tests.policy_learner.world import World


@pytest.fixture
def world(store, data_folder, monkeypatch):
    """Lists are long soon."""
    monkeypatch.setattr(turns, "LISTED", 8)
    monkeypatch.setattr(turns, "MOST_ENTRIES", 40)
    monkeypatch.setattr(turns, "ROUNDS_A_DOUBLING", 2)
    return World(store, data_folder, 2, LearnerSettings(publish_every_examples=1, read_batch=7))


NO = Verdict(passed=False, reason="a test", not_finite=0, largest_weight=0.0, parity=0.0, sample=0)


@pytest.mark.parametrize("shuffle", [0, 16])
def test_the_list_stays_short_and_a_rebuild_from_it_has_the_same_bits(world, monkeypatch, shuffle):
    """However long it lasts, all is learnt, and the version that comes after it says of what it was made."""
    model = ModelConfig(bits=10, shuffle=shuffle)
    world.application = msgspec.structs.replace(world.application, model=model)
    learner, longest = world.learner(), 0
    with monkeypatch.context() as refusing:
        refusing.setattr(loop, "judge", lambda learner, training: (NO, None))
        for _ in range(60):
            world.shop(5)
            for _ in range(4):
                world.now_s += 1.0
                step(learner)
                longest = max(longest, len(learner.progress.batches))
    assert not learner.progress.version
    assert longest < 40
    assert learner.training.examples > 150

    world.now_s += 3600
    while step(learner):
        world.now_s += 3600
    drain(learner, lambda: True)

    assert world.weights().header.examples == 300
    again = world.learner()
    assert (again.training.examples, again.figures.rebuild_mismatch) == (300, False)
    assert replay(world.application, world.data).clean


def test_while_versions_are_published_all_partitions_are_read_at_every_step(world):
    """Nobody waits for a turn."""
    learner = world.learner()
    for _ in range(20):
        world.shop(10)
        step(learner)
        assert not turns.takes_turns(learner)
        assert world.weights().header.examples == learner.training.examples
    assert learner.training.examples == 200
