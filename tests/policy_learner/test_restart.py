"""A learner that was stopped, killed, paused or configured otherwise goes on, or says why not."""

from __future__ import annotations

import hashlib
from collections import Counter

import msgspec
import pytest
import redis

from policy_learner.errors import BadCheckpoint, CannotRebuild, Fenced
from policy_learner.join.learnt import Learnt
from policy_learner.loop import step
from policy_learner.models import publish
from policy_learner.models.replay import replay
from policy_learner.settings import LearnerSettings
from sidecar.contracts import keys as app_keys
from tests.policy_learner.walking import rows, steps, stop
from tests.policy_learner.world import HORIZON_MS, World


@pytest.fixture
def world(store: redis.Redis, data_folder) -> World:
    return World(store, data_folder)


def test_a_restart_without_any_stop_loses_and_doubles_nothing(world):
    """Two learners that just vanish, at different moments: the third ends where one alone would have."""
    first = world.learner()
    world.shop(20)
    steps(first)  # published, in no file, no checkpoint
    world.shop(20)
    second = world.learner()
    step(second)
    second.archive.write()
    world.shop(20)
    third = world.learner()
    assert not third.figures.rebuild_mismatch
    steps(third)
    stop(third)
    assert world.weights().header.examples == 60
    assert set(Counter(row["decision_id"] for row in rows(world)).values()) == {1}
    assert len(rows(world)) == 60
    assert replay(world.application, world.data).clean


def test_resuming_from_a_checkpoint_equals_never_having_stopped(world, store):
    """Same decisions, same batches: with and without a stop in between the weights are the same bits."""
    learner = world.learner()
    world.shop(20)
    steps(learner)
    stop(learner)
    resumed = world.learner()
    assert resumed.progress.checkpoint_version == learner.progress.version
    world.shop(20)
    steps(learner_that := resumed)

    assert replay(world.application, world.data).clean
    stop(learner_that)
    result = replay(world.application, world.data)
    assert result.clean, result.told
    assert result.counts["examples"] == 40


def test_a_start_trains_again_what_was_published_after_the_checkpoint(world):
    """The rebuilt weights are the published ones, bit for bit: from the store and, once trimmed, the log."""
    learner = world.learner()
    world.shop(10)
    steps(learner)
    stop(learner)
    world.shop(10)
    steps(again := world.learner())
    published = world.client.hget(app_keys.weights("world"), "checksum").decode()
    rebuilt = world.learner()
    assert rebuilt.training.examples == 20
    assert not rebuilt.figures.rebuild_mismatch
    version, epoch = rebuilt.progress.version, again.epoch
    assert rebuilt.training.record(version, epoch).checksum == published

    while rebuilt.archive.read(Learnt(rebuilt.progress.positions, rebuilt.progress.version), 100):
        pass
    rebuilt.archive.write()
    for keys in world.partitions:
        world.client.xtrim(keys.examples, maxlen=0, approximate=False)
    world.client.xtrim(app_keys.weights_log("world"), maxlen=0, approximate=False)
    for path in world.data.checkpoints("world").glob("*.checkpoint"):
        path.write_bytes(path.read_bytes()[:-1])
    from_log = world.learner()
    assert from_log.progress.checkpoint_version == 0
    assert from_log.training.record(version, epoch).checksum == published


def test_weights_that_cannot_be_rebuilt_are_a_refusal_to_start(world, tmp_path):
    """Another data folder than the store's: said, not silently begun anew, unless told to."""
    learner = world.learner()
    world.shop(10)
    steps(learner)
    stop(learner)
    world.data = type(world.data)(tmp_path / "other")
    with pytest.raises(CannotRebuild, match="COLD_START"):
        world.learner()
    world.settings = LearnerSettings(cold_start=True, publish_every_examples=1)
    cold = world.learner()
    world.shop(5)
    steps(cold)
    assert world.weights().header.examples == 5
    assert world.weights().header.version > learner.progress.version
    world.settings = LearnerSettings(publish_every_examples=1)
    resumed = world.learner()
    assert (resumed.training.examples, resumed.figures.rebuild_mismatch) == (5, False)


def test_a_model_configured_otherwise_is_a_refusal_to_start(world):
    """Another bit width than the checkpoint's: named, and begun anew only when told to."""
    learner = world.learner()
    world.shop(10)
    steps(learner)
    stop(learner)
    model = msgspec.structs.replace(world.application.model, max_pending=7)  # no part of what is trained
    world.application = msgspec.structs.replace(world.application, model=model)
    assert world.learner().training.examples == 10
    model = msgspec.structs.replace(world.application.model, bits=12)
    world.application = msgspec.structs.replace(world.application, model=model)
    with pytest.raises(BadCheckpoint, match='"bits":12'):
        world.learner()
    world.settings = LearnerSettings(cold_start=True, publish_every_examples=1)
    cold = world.learner()
    world.shop(5)
    steps(cold)
    assert (world.weights().header.bits, world.weights().header.examples) == (12, 5)


def test_a_paused_learner_is_fenced_and_its_archive_is_not_doubled(world):
    """The earlier learner wakes up when a later one has published: it may neither publish nor write a row."""
    zombie = world.learner()
    world.shop(20)
    step(zombie)
    zombie.archive.read(Learnt(zombie.progress.positions, zombie.progress.version), 1000)
    later = world.learner()
    steps(later)
    later.archive.write()
    zombie.archive.write()
    world.shop(5)
    with pytest.raises(Fenced):
        steps(zombie)
    steps(later)
    stop(later)
    assert set(Counter(row["decision_id"] for row in rows(world)).values()) == {1}
    assert len(rows(world)) == world.weights().header.examples == 25
    assert replay(world.application, world.data).clean


def test_a_lost_reply_to_a_publish_is_no_second_version(world, monkeypatch):
    """The store has it, the learner does not know: the same publication again, and on from there."""
    learner = world.learner()
    world.shop(5)
    send = publish.publish

    def lose_the_reply(*args):
        send(*args)
        monkeypatch.setattr(publish, "publish", send)
        raise redis.ConnectionError("reply lost")

    monkeypatch.setattr(publish, "publish", lose_the_reply)
    with pytest.raises(redis.ConnectionError):
        steps(learner)
    world.shop(5)
    steps(learner)
    header = world.weights().header
    assert (header.version, header.examples) == (learner.progress.version, 10)
    assert world.client.xlen(app_keys.weights_log("world")) == header.version


def test_the_published_record_lies_beside_the_checkpoint(world):
    """An evaluation names a model as a file: it is the published record, byte for byte."""
    learner = world.learner()
    world.shop(5)
    steps(learner)
    stop(learner)
    stop(world.learner())  # one that only reads what it finds, and has an epoch of its own
    world.decide(3, learn=False)
    world.move(HORIZON_MS + 1)
    stop(world.learner())
    path = world.data.checkpoints("world") / f"weights-{learner.progress.version}.bin"
    assert path.read_bytes() == world.client.hget(app_keys.weights("world"), "record")
    stored = world.client.hget(app_keys.weights("world"), "checksum").decode()
    assert hashlib.sha256(path.read_bytes()).hexdigest() == stored
