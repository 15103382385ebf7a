"""The learner with VW in a process of its own: crashes, hangs and kills cost nothing but the one example."""

from __future__ import annotations

import itertools
import os
import signal
from pathlib import Path

import pyarrow.dataset as ds
import pytest
import redis

from policy_learner.learning.isolated_trainers import IsolatedTrainers
from policy_learner.learning.trainer import Trainer
from policy_learner.loop import begin, drain, finalise, read, step
from policy_learner.models.replay import replay
from policy_learner.state import Deps, open_learner
from sidecar.contracts import keys as app_keys
from sidecar.contracts.catalogue import encode_arms
from tests.policy_learner.fragile_vw import command, make_deadly, tries
from tests.policy_learner.test_process import APP, status
from tests.policy_learner.world import ARMS, World
from tests.processes import pid_exists


@pytest.fixture
def world(store, data_folder):
    return World(store, data_folder, partitions=2)


@pytest.fixture
def trainers(data_folder, tmp_path):
    """As the learner has them, with a VW that dies of what it is told to."""
    return IsolatedTrainers(data_folder.checkpoints("world") / "attempts", 5.0, command(tmp_path))


@pytest.fixture
def isolated(world, trainers):
    """Learners with them; no child is left at the end."""
    learners = []

    def opened():
        deps = Deps(world.application, world.settings, world.data, world.scripts, lambda: world.now_s)
        learners.append(open_learner(deps._replace(trainers=trainers)))
        return learners[-1]

    yield opened
    for one in learners:
        one.training.trainer.close()


def test_a_killer_is_a_dead_letter_and_has_its_row_and_the_rest_is_learnt(world, isolated, store, tmp_path):
    """Its reason is there; neither a restart, nor a replay, nor a rebuild from the log tries it again."""
    learner = isolated()
    events = world.shop(40)
    killer = events[17].decision_id
    make_deadly(tmp_path, {killer: "crash"})
    step(learner)
    assert world.weights().header.examples == 39
    (letters,) = [found for keys in world.partitions if (found := store.xrange(keys.dead))]
    ((_, letter),) = letters
    assert letter[b"i"] == killer.encode()
    assert b"SIGSEGV" in letter[b"reason"]
    assert tries(tmp_path) == {killer: 3}
    again = isolated()
    assert (again.training.examples, again.figures.rebuild_mismatch) == (39, False)
    drain(again, lambda: True)
    rows = ds.dataset(world.log / "decisions", partitioning="hive").to_table().to_pylist()
    assert [row["decision_id"] for row in rows if not row["learn"]] == [killer]
    assert len(rows) == 40
    for keys in world.partitions:
        store.delete(keys.dead)
    for path in data_checkpoints(world):
        path.unlink()
    from_log = isolated()
    assert (from_log.training.examples, from_log.figures.rebuild_mismatch) == (39, False)
    assert replay(world.application, world.data).clean
    assert tries(tmp_path) == {killer: 3}


def data_checkpoints(world) -> list[Path]:
    return list(world.data.checkpoints("world").glob("*.checkpoint"))


def test_an_error_between_begin_and_end_loses_and_doubles_nothing(world, isolated, store):
    """What was handed to the trainer is waited for in the next step; the weights are those of one process."""
    learner = isolated()
    world.shop(30)
    finalise(learner)
    begin(learner, read(learner))
    os.kill(learner.training.trainer.pid, signal.SIGKILL)
    assert read(learner) == []
    assert learner.progress.begun
    step(learner)
    assert learner.training.examples == 30
    assert not learner.progress.begun
    checksum = store.hget(app_keys.weights("world"), "checksum")
    here = world.learner()
    assert isinstance(here.training.trainer, Trainer)
    version, epoch = learner.progress.version, learner.progress.version_epoch
    assert here.training.record(version, epoch).checksum.encode() == checksum


@pytest.mark.parametrize("hurt", ["nothing", "child", "store"])
def test_who_is_behind_reads_on_while_the_last_blocks_are_learnt(world, isolated, hurt, monkeypatch):
    """What stays with the trainer is in no version, nor is it lost, doubled or learnt in another order."""
    world.settings = world.settings.__class__(publish_every_examples=1000, read_batch=5)
    learner = isolated()
    world.shop(60)
    finalise(learner)
    for _ in range(2):
        assert step(learner)
    under_way = [(chunk.partition, chunk.last) for chunk in learner.progress.begun]
    assert len(under_way) == learner.progress.ahead == 2
    assert all(learner.progress.positions[partition] != last for partition, last in under_way)
    if hurt == "child":
        os.kill(learner.training.trainer.pid, signal.SIGKILL)
    if hurt == "store":
        gone(learner, monkeypatch)

    world.now_s += 1
    step(learner)
    assert not learner.progress.begun
    assert learner.training.examples == world.weights().header.examples == 30
    drain(learner, lambda: True)

    assert learner.training.examples == 60
    again = world.learner()
    assert (again.training.examples, again.figures.rebuild_mismatch) == (60, False)
    assert replay(world.application, world.data).clean


def gone(learner, monkeypatch):
    """The store is away for one step, once its answers have been read: before anything of it is learnt."""
    real = learner.training.finish

    def away():
        monkeypatch.setattr(learner.training, "finish", real)
        raise redis.ConnectionError

    monkeypatch.setattr(learner.training, "finish", away)
    with pytest.raises(redis.ConnectionError):
        step(learner)


def test_a_stop_learns_what_is_with_the_trainer(world, isolated):
    """However little time there is."""
    world.settings = world.settings.__class__(publish_every_examples=1000, read_batch=5)
    learner = isolated()
    world.shop(60)
    finalise(learner)
    step(learner)
    assert learner.progress.begun
    drain(learner, lambda: False)
    assert not learner.progress.begun
    assert world.weights().header.examples == learner.training.examples > 0


def test_a_full_disk_does_not_keep_a_learner_that_is_behind_from_learning(world, isolated, monkeypatch):
    """Files are written while the child learns; as long as they cannot be, after it has learnt."""
    world.settings = world.settings.__class__(publish_every_examples=1, read_batch=5, archive_rows=1)
    learner = isolated()
    world.shop(40)

    def full() -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(learner.archive, "write", full)
    failed = 0
    for _ in range(6):
        try:
            step(learner)
        except OSError:
            failed += 1
    assert failed >= 3
    assert learner.training.examples >= 20
    assert not learner.progress.begun


@pytest.fixture
def started(processes, tmp_path, data_folder, store_url):
    """The learner as a process; with a fragile VW if asked for."""
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "app.toml").write_text(APP)
    (folder / "arms.json").write_bytes(encode_arms(ARMS))
    arguments = ("--app", folder, "--data", data_folder.root)

    def start(fragile=False):
        if fragile:
            module = "tests.policy_learner.fragile_learner"
            return processes.start(module, tmp_path, *arguments, environ={"REDIS_URL": store_url})
        return processes.start("policy_learner", *arguments, environ={"REDIS_URL": store_url})

    return start


def child_of(process) -> int:
    (child,) = Path(f"/proc/{process.child.pid}/task/{process.child.pid}/children").read_text().split()
    return int(child)


def test_the_learner_outlives_its_child_and_the_child_not_the_learner(world, started, store):
    """Killed and stopped under the learner; then the learner is killed, and the child goes with it."""
    process, learnt = started(), itertools.count(10, 10)
    for number in (None, signal.SIGKILL, signal.SIGKILL):
        if number is not None:
            os.kill(child_of(process), number)
        world.shop(10)
        wanted = str(next(learnt))
        process.wait_until(lambda wanted=wanted: status(store, "examples") == wanted, what=f"{wanted} learnt")
    process.wait_until(lambda: status(store, "trainer_restarts") == "2", what="said")
    child = child_of(process)
    os.kill(process.child.pid, signal.SIGKILL)
    process.exit_code()
    process = started()
    process.wait_until(lambda: not pid_exists(child), what="the child is gone")
    world.shop(10)
    process.wait_until(lambda: status(store, "examples") == "40", what="learnt")
    assert status(store, "rebuild_mismatch") in ("0", "false", "")
    child = child_of(process)
    assert process.stop() == 0
    assert not pid_exists(child)


@pytest.mark.slow
def test_an_example_that_takes_the_learner_along_does_so_three_times_at_most(world, started, store, tmp_path):
    """Started again each time, as by a supervisor: the fourth knows better, and the rest is learnt."""
    events = world.shop(20)
    killer = events[7].decision_id
    make_deadly(tmp_path, {killer: "take the learner along"})
    for _ in range(3):
        assert started(fragile=True).exit_code(60.0) == -signal.SIGKILL
    process = started(fragile=True)
    process.wait_until(lambda: status(store, "examples") == "19", what="the rest is learnt")
    assert tries(tmp_path) == {killer: 3}
    assert sum(store.xlen(keys.dead) for keys in world.partitions) == 1
    assert process.stop() == 0
