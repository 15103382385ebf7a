"""The archiver as a process of its own: the same log as the learner would have written, whoever dies."""

from __future__ import annotations

import threading
from collections import Counter

import pytest
import redis
from msgspec.structs import replace

from policy_learner import failpoints
from policy_learner.archive import chain
from policy_learner.archive.chain import dataset_folder
from policy_learner.archive.dead_letters import DeadLetters
from policy_learner.archiver import Archiver
from policy_learner.loop import finalise, step, trim
from policy_learner.models.replay import replay
from policy_learner.report import report
from policy_learner.settings import LearnerSettings
from policy_learner.status import RUNNING, STOPPED, STOPPING
from sidecar.contracts.keys import learner_status, learnt
from tests.policy_learner.walking import rows, steps, stop
from tests.policy_learner.world import World

APART = LearnerSettings(archiver="apart", publish_every_examples=1, archive_rows=1000, compact_every_s=0.0)


class Killed(BaseException):
    """kill -9."""


def world_of(store, data_folder, partitions=2, **changes):
    return World(store, data_folder, partitions, replace(APART, **changes))


def killed_at(moment):
    def handle(reached):
        if reached == moment:
            failpoints.arm(None)
            raise Killed

    failpoints.arm(handle)


@pytest.fixture(autouse=True)
def _nothing_armed():
    yield
    failpoints.arm(None)


def finish(world, learner, archiver):
    """The orderly end, the learner first, and what must then hold of the log."""
    steps(learner)
    stop(learner)
    archiver.stop()
    learner.timers.trim.restart()
    trim(learner, now=True)
    for dataset, lanes in (("decisions", len(world.partitions)), ("versions", 1)):
        for lane in range(lanes):
            chain.verify(dataset_folder(world.log, dataset, "world"), lane)
    assert replay(world.application, world.data).clean
    assert max(world.client.xlen(keys.examples) for keys in world.partitions) <= 1


def ids(events):
    return Counter(event.decision_id for event in events)


@pytest.mark.parametrize("partitions", [1, 4, 64])
def test_every_decision_becomes_one_row_written_by_the_archiver(store, data_folder, partitions):
    """The learner writes none, the rows and versions are the usual ones, and the streams are trimmed."""
    world = world_of(store, data_folder, partitions)
    learner, archiver = world.learner(), world.helper(Archiver)
    events = world.shop(40)
    steps(learner)
    assert not (world.log / "decisions").exists() or not rows(world)
    assert archiver.step() == 40 + learner.progress.version
    assert archiver.report().waiting == 40 + learner.progress.version
    events += world.shop(20)
    finish(world, learner, archiver)
    assert Counter(row["decision_id"] for row in rows(world)) == ids(events)
    assert learner.figures.archived_rows == 0
    assert archiver.report().done == 60 + learner.progress.version


def test_it_goes_no_further_than_the_learner_has_been(store, data_folder):
    """What was finalised and not learnt waits: only the learner knows what it refuses. So do versions."""
    world = world_of(store, data_folder)
    archiver = world.helper(Archiver)
    learner = world.learner()
    poison = world.decide(2, propensity=7.0)
    world.shop(10)
    finalise(learner)
    assert archiver.step() == 0
    steps(learner)
    stop(learner)
    archiver.stop()
    learnt = {row["decision_id"]: row["learn"] for row in rows(world)}
    assert {d for d, learn in learnt.items() if not learn} == set(ids(poison))
    assert len(learnt) == 12


def test_a_version_waits_until_the_learner_has_told_of_it(store, data_folder):
    """It may have been published after the positions were told: on disk its examples come first."""
    world = world_of(store, data_folder)
    learner, archiver = world.learner(), world.helper(Archiver)
    world.shop(10)
    steps(learner)
    store.hset(learnt("world"), "version", 0)
    assert archiver.step() == 10
    store.hset(learnt("world"), "version", learner.progress.version)
    assert archiver.step() == learner.progress.version > 0


def test_files_that_end_a_backlog_are_written_at_once(store, data_folder):
    """Once the learner has caught up, but not again within a tenth of the time that files wait for others."""
    world = world_of(store, data_folder, partitions=1, read_batch=16, archive_every_s=100.0)
    learner, archiver = world.learner(), world.helper(Archiver)
    world.shop(60)
    for _ in range(3):
        world.now_s += 1.0
        step(learner)
    assert store.hget(learnt("world"), "more") == b"1"
    world.now_s += 10.0
    assert (archiver.step() > 0, archiver.step(), archiver.report().done) == (True, 0, 0)
    steps(learner)
    assert store.hget(learnt("world"), "more") == b"0"
    while archiver.step():
        assert archiver.report().done == 0
    assert (len(rows(world)), archiver.report().waiting) == (60, 0)
    world.shop(5)
    steps(learner)
    world.now_s += 90.0
    assert (archiver.step() > 0, archiver.step(), len(rows(world))) == (True, 0, 60)
    world.now_s += 11.0  # its time has come
    archiver.step()
    world.shop(5)
    steps(learner)
    for more, passed_s, there in ((1, 0.0, 65), (0, 5.0, 65), (0, 6.0, 70)):
        store.hset(learnt("world"), "more", more)
        world.now_s += passed_s
        archiver.step()
        assert len(rows(world)) == there


def test_at_the_stores_memory_limit_it_knows_what_could_not_be_put_with_the_dead_letters(
    store, data_folder, monkeypatch
):
    """The archiver makes room, so it must not wait for a letter that needs some."""
    world = world_of(store, data_folder)
    learner, archiver = world.learner(), world.helper(Archiver)
    poison = world.decide(1, propensity=7.0)
    monkeypatch.setattr(DeadLetters, "_add", lambda self, keys, entry: False)
    world.shop(6)
    steps(learner)
    assert store.xlen(world.partitions[0].dead) + store.xlen(world.partitions[1].dead) == 0
    archiver.stop()
    assert [row["decision_id"] for row in rows(world) if not row["learn"]] == [poison[0].decision_id]
    assert len(rows(world)) == 7


def test_nothing_is_trimmed_before_the_archiver_has_it_on_disk(store, data_folder):
    """A learner without an archiver keeps everything, and says nothing else."""
    world = world_of(store, data_folder, checkpoint_every_s=0.001)
    learner = world.learner()
    world.shop(30)
    steps(learner)
    stop(learner)
    assert sum(store.xlen(keys.examples) for keys in world.partitions) == 30
    archiver = world.helper(Archiver)
    archiver.stop()
    trim(learner, now=True)
    assert max(store.xlen(keys.examples) for keys in world.partitions) <= 1
    assert len(rows(world)) == 30


@pytest.mark.parametrize("moment", ["file written", "linked", "archived"])
@pytest.mark.parametrize("partitions", [1, 4])
def test_killed_at_any_moment_the_next_one_goes_on_without_a_row_lost_or_doubled(
    store, data_folder, moment, partitions
):
    """A file half-written, one that has its name and nobody told, all of them."""
    world = world_of(store, data_folder, partitions)
    learner, archiver = world.learner(), world.helper(Archiver)
    events = world.shop(30)
    steps(learner)
    archiver.step()
    killed_at(moment)
    with pytest.raises(Killed):
        archiver.stop()
    trim(learner, now=True)
    events += world.shop(10)
    finish(world, learner, world.helper(Archiver))
    assert Counter(row["decision_id"] for row in rows(world)) == ids(events)
    assert not list(world.log.rglob(".writing-*"))


def test_of_two_archivers_one_writes_each_row(store, data_folder):
    """One was paused with rows in memory while another wrote them and the streams were trimmed behind it."""
    world = world_of(store, data_folder)
    learner, paused = world.learner(), world.helper(Archiver, "paused")
    events = world.shop(20)
    steps(learner)
    paused.step()
    other = world.helper(Archiver, "other")
    other.step()
    world.now_s += 31.0
    other.step()
    stop(learner)
    paused.step()
    events += world.shop(20)
    steps(learner)
    world.now_s += 31.0
    paused.step(), other.step()
    paused.stop()
    finish(world, learner, other)
    assert Counter(row["decision_id"] for row in rows(world)) == ids(events)


def test_a_full_disk_stops_the_archiver_and_not_the_learner(store, data_folder, monkeypatch):
    """Its own words say so; afterwards everything is there once."""
    world = world_of(store, data_folder, 1)
    learner, archiver = world.learner(), world.helper(Archiver)
    world.shop(10)
    steps(learner)
    usual = chain._write
    monkeypatch.setattr(chain, "_write", lambda path, table: (_ for _ in ()).throw(OSError(28, "No space")))
    world.now_s += 31.0
    with pytest.raises(OSError, match="No space"):
        archiver.step()
    world.shop(10)
    steps(learner)
    assert learner.training.examples == 20
    assert learner.figures.step_error == learner.figures.archive_error == ""
    monkeypatch.setattr(chain, "_write", usual)
    finish(world, learner, archiver)
    assert len(rows(world)) == 20


def test_a_learner_may_change_from_one_way_to_the_other_and_back(store, data_folder):
    """Files of either follow on those of the other."""
    world = world_of(store, data_folder)
    events = []
    for way in ("here", "apart", "here"):
        world.settings = replace(APART, archiver=way)
        learner = world.learner()
        events += world.shop(10)
        steps(learner)
        stop(learner)
        if way == "apart":
            world.helper(Archiver).stop()
    assert Counter(row["decision_id"] for row in rows(world)) == ids(events)
    assert replay(world.application, world.data).clean


def test_rubbish_where_the_learners_word_should_be_is_said_and_survived(store: redis.Redis, data_folder):
    """The archiver stands still until the learner speaks again, which it does at every trim."""
    world = world_of(store, data_folder)
    learner, archiver = world.learner(), world.helper(Archiver)
    world.shop(5)
    steps(learner)
    store.hset(learnt("world"), "positions", b"\xff")
    assert archiver.step() == 0
    assert "learner" in archiver.report().error
    trim(learner, now=True)
    step(learner)
    assert archiver.step() > 0
    assert archiver.report().error == ""


def test_it_waits_for_the_last_word_of_a_learner_that_is_ending_too(store, data_folder):
    """Both are told to stop at once, as when all is taken down: what is learnt then is in the log."""
    world = world_of(store, data_folder)
    learner, archiver = world.learner(), world.helper(Archiver)
    events = world.shop(10)
    report(learner, STOPPING)
    ending = threading.Thread(target=archiver.stop)
    ending.start()
    steps(learner)
    stop(learner)
    report(learner, STOPPED)
    ending.join(30.0)
    assert Counter(row["decision_id"] for row in rows(world)) == ids(events)


def test_it_waits_for_no_learner_that_is_gone(store, data_folder):
    """One that died while it was ending; one that runs on, which this archiver's successor will hear."""
    world = world_of(store, data_folder, drain_s=1000.0, status_every_s=0.01)
    learner, archiver = world.learner(), world.helper(Archiver)
    report(learner, STOPPING)
    store.hset(learner_status("world"), "at_ms", 1)
    archiver.stop()
    archiver = world.helper(Archiver)
    report(learner, RUNNING)
    store.hset(learner_status("world"), "state", RUNNING)
    archiver.stop()
