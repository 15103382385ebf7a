"""A base is handed over to the learner that runs: nothing skipped, nothing repeated, every bit rebuilt."""

from __future__ import annotations

import time
from datetime import date, timedelta

import pytest
import redis

from policy_learner.archive import cutting
from policy_learner.archive.archive_reader import versions
from policy_learner.archive.retention import drop_before
from policy_learner.errors import BadArchive, BadBase
from policy_learner.join.positions import order
from policy_learner.learning.batches import Refused
from policy_learner.learning.training import Training
from policy_learner.loop import drain, step
from policy_learner.models.replay import replay
from policy_learner.rebase import offers, rebases, spent_bases
from policy_learner.report import report
from policy_learner.settings import LearnerSettings
from policy_learner.status import read as read_status
from tests.policy_learner.rebase_world import checkpoints, offer_base, train_base
from tests.policy_learner.world import HORIZON_MS, World


@pytest.fixture
def world(store: redis.Redis, data_folder) -> World:
    return World(store, data_folder)


def steps(learner, most=80):
    for _ in range(most):
        if not step(learner):
            return
    raise AssertionError("the learner does not come to rest")


def archived(world, learner):
    """What was learnt so far is in the log."""
    steps(learner)
    world.now_s += 3600
    steps(learner)


def states(learner):
    """Every column of the trainer's table, bit for bit."""
    return learner.training.trainer._state.tobytes()


def covered(world, entry, state):
    """Entries after a base's positions that its first version was trained on, by partition."""
    found = {}
    for batch in entry.batches:
        keys = world.partitions[batch.partition]
        assert order(batch.first) > order(state.positions[batch.partition])
        ids = [i.decode() for i, _ in world.client.xrange(keys.examples, batch.first, batch.last)]
        found.setdefault(batch.partition, []).extend(ids)
    return found


def test_the_base_takes_over_with_every_later_example_once(store, data_folder):
    """Its first version lists exactly what was finalised after the base, and replays to the same bits."""
    settings = LearnerSettings(publish_every_examples=1, archive_rows=1000, trim_keep_s=86_400, read_batch=7)
    world = World(store, data_folder, settings=settings)
    learner = world.learner()
    world.shop(120)
    archived(world, learner)
    base = train_base(world)
    world.shop(50)
    steps(learner)
    before = learner.progress.version
    offer_base(world, base)
    steps(learner)
    outcome = offers.read_outcome(checkpoints(world))
    assert (outcome.offer.base, outcome.reason) == (base, "")
    assert outcome.version == before + 1 == world.weights().header.version
    world.shop(30)
    steps(learner)
    drain(learner, lambda: True)

    state = rebases.load(world.log, base).state
    (entry,) = [one for one in versions(world.log, "world") if one.base]
    assert (entry.base, entry.version) == (base, outcome.version)
    later = {
        keys.partition: [
            i.decode()
            for i, _ in world.client.xrange(keys.examples)
            if order(i.decode()) > order(state.positions[keys.partition])
        ][: len(covered(world, entry, state).get(keys.partition, []))]
        for keys in world.partitions
    }
    assert covered(world, entry, state) == {p: ids for p, ids in later.items() if ids}
    assert sum(map(len, later.values())) == 50
    replayed = replay(world.application, world.data)
    assert replayed.clean, replayed.told
    assert replayed.counts["versions"] == world.weights().header.version


def test_a_restart_after_the_hand_over_has_the_published_bits(world):
    """From the old checkpoint through the base, and from the base alone when no checkpoint is left."""
    learner = world.learner()
    world.shop(60)
    archived(world, learner)
    offer_base(world, train_base(world))
    steps(learner)
    world.shop(20)
    steps(learner)
    assert learner.progress.version_epoch == 1
    for path in checkpoints(world).glob("*.checkpoint"):
        path.unlink()
    again = world.learner()
    assert not again.figures.rebuild_mismatch
    assert again.progress.positions == learner.progress.positions
    assert states(again) == states(learner)
    assert again.training.examples == learner.training.examples
    again.rebasing.advance(again.progress.positions, 10)
    assert again.rebasing.candidate is None  # settled before: not taken up a second time


def test_what_the_stream_forgot_comes_from_the_log(world):
    """A base that is hours old catches up through the files, then through the stream."""
    learner = world.learner()
    world.shop(60)
    archived(world, learner)
    base = train_base(world)
    for _ in range(3):
        world.shop(40)
        archived(world, learner)
        drain(learner, lambda: True)
    assert sum(world.client.xlen(keys.examples) for keys in world.partitions) < 10
    world.shop(20)
    offer_base(world, base)
    steps(learner)
    assert offers.read_outcome(checkpoints(world)).version
    assert learner.training.examples >= 60 + 120 + 20
    drain(learner, lambda: True)
    replayed = replay(world.application, world.data)
    assert replayed.clean, replayed.told


def test_a_version_that_was_published_unseen_is_not_taken_over_twice(world):
    """The learner died before it could say what became of the offer: the version log knows."""
    learner = world.learner()
    world.shop(60)
    archived(world, learner)
    offer_base(world, train_base(world), at_ms=1_600_000_000_000)
    steps(learner)
    said = offers.read_outcome(checkpoints(world))
    (checkpoints(world) / offers.OUTCOME).unlink()
    again = world.learner()
    steps(again)
    assert offers.read_outcome(checkpoints(world)) == said
    assert again.progress.version == said.version


def test_a_base_stays_as_long_as_anything_can_be_rebuilt_from_it(world):
    """Retention deleted what came after the first one; the second one is what the learner stands on."""
    learner, bases = world.learner(), []
    for night in range(2):
        world.shop(60)
        archived(world, learner)
        bases.append(train_base(world))
        world.shop(20)
        offer_base(world, bases[-1], at_ms=night)
        steps(learner)
    drain(learner, lambda: True)
    folder, later_s = checkpoints(world), time.time() + 2 * spent_bases.GRACE_S
    assert spent_bases.remove_spent(world.log, "world", folder, later_s) == []
    drop_before(world.log, "world", date.today() + timedelta(days=2), round(later_s * 1000))
    assert spent_bases.remove_spent(world.log, "world", folder, time.time()) == []
    assert spent_bases.remove_spent(world.log, "world", folder, later_s) == bases[:1]
    assert rebases.load(world.log, bases[1])
    replayed = replay(world.application, world.data)
    assert replayed.clean, replayed.told
    assert replayed.counts["deleted"] == learner.progress.version


def test_after_retention_the_log_is_rebuilt_from_the_next_base_on(world):
    """Versions from before it are lost with their rows, those from it on are not."""
    learner = world.learner()
    world.shop(60)
    archived(world, learner)
    drain(learner, lambda: True)
    drop_before(world.log, "world", date.today() + timedelta(days=2), 1)
    # What comes now is of days to come: the tests' clock is moved there.
    world.move(3 * 86_400_000)
    lost = learner.progress.version
    world.shop(60)
    archived(world, learner)
    after = learner.progress.version
    offer_base(world, train_base(world))
    steps(learner)
    world.shop(20)
    archived(world, learner)
    drain(learner, lambda: True)
    replayed = replay(world.application, world.data)
    assert replayed.clean, replayed.told
    assert replayed.counts["deleted"] == after >= lost
    assert replayed.counts["versions"] == learner.progress.version - after > 1
    assert spent_bases.remove_spent(world.log, "world", checkpoints(world), time.time() + 1e7) == []


def test_a_log_that_cannot_be_read_refuses_the_base_and_the_learner_goes_on(world, monkeypatch):
    """A damaged file must not become a crash at every start while an offer waits."""
    learner = world.learner()
    world.shop(30)
    archived(world, learner)
    base = train_base(world)
    world.shop(10)
    steps(learner)

    def damaged(*_):
        raise BadArchive("dt=2026-01-01/0-1.parquet: not a Parquet file")

    with monkeypatch.context() as patched:
        patched.setattr(cutting, "lanes", damaged)
        assert "not a Parquet file" in refused(world, learner, base)


def refused(world, learner, base):
    version = learner.progress.version
    offer_base(world, base)
    steps(learner)
    world.shop(6)
    steps(learner)
    outcome = offers.read_outcome(checkpoints(world))
    assert learner.progress.version > version
    assert outcome.version == 0
    drain(learner, lambda: True)
    assert replay(world.application, world.data).clean
    return outcome.reason


def test_a_base_that_is_not_there_is_refused_by_name(world):
    """Nothing else happens: the model that serves goes on."""
    learner = world.learner()
    world.shop(30)
    steps(learner)
    assert "base 0123456789abcdef is not in" in refused(world, learner, "0123456789abcdef")


def test_a_damaged_base_is_refused(world):
    """Its name is its content's."""
    learner = world.learner()
    world.shop(30)
    archived(world, learner)
    base = train_base(world)
    path = world.log / "models" / f"{base}.base"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert "cut or altered" in refused(world, learner, base)
    with pytest.raises(BadBase, match="no whole base"):
        rebases.load(world.log, base)


@pytest.mark.slow
def test_a_base_that_would_earn_less_stays_out(store, data_folder):
    """The gate looks at it as at any other version; what it says stands in the status and in the outcome."""
    settings = LearnerSettings(publish_every_examples=1, archive_rows=1000, gate_least_examples=50)
    world = World(store, data_folder, settings=settings)
    learner = world.learner()
    upside_down(world, 240)
    archived(world, learner)
    base = train_base(world)
    state = rebases.load(world.log, base).state
    for _ in range(4):
        straight(world, 240)
        archived(world, learner)
    (world.log / "models" / f"{base}.base").unlink()
    late = rebases.save(
        world.log,
        rebases.Base(
            recipe=rebases.Recipe(
                from_ms=0, until_ms=1, tested_from_ms=0, epochs=1, learning_rate=0.1, examples=1
            ),
            state=type(state)(
                version=0, epoch=0, examples=state.examples, positions=tuple(learner.progress.positions),
                trained=tuple(learner.training.trained), state=state.state,
            ),
        ),
    )  # fmt: skip
    assert "gate: mean reward" in refused(world, learner, late)
    report(learner, "stopped")
    assert "refused: gate" in read_status(world.client, "world").base


def straight(world, count):
    for event in world.decide(count):
        if event.arm_index == 0:
            world.reward(event, 1.0)
    world.move(HORIZON_MS + 1)


def upside_down(world, count):
    for event in world.decide(count):
        if event.arm_index == 3:
            world.reward(event, 1.0)
    world.move(HORIZON_MS + 1)


def test_what_the_base_alone_cannot_learn_refuses_the_base_not_the_example(world, monkeypatch):
    """The model that serves has learnt it, and its versions are rebuilt with it."""
    learner = world.learner()
    world.shop(30)
    archived(world, learner)
    base = train_base(world)
    world.shop(12)
    steps(learner)
    monkeypatch.setattr(Training, "finish", refusing(Training.finish, learner))
    assert "it cannot learn decision" in refused(world, learner, base)
    assert not any(world.client.xlen(keys.dead) for keys in world.partitions)


def refusing(finish, learner):
    """Whatever another training than the learner's is given, its first example is refused."""

    def refuse(training):
        trained = finish(training)
        return trained if training is learner.training else trained._replace(refused=[Refused(0, "spoilt")])

    return refuse
