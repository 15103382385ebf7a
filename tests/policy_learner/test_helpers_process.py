"""Joiners and the archiver as processes: killed, paused, several of them, stopped in order."""

from __future__ import annotations

import signal
from collections import Counter

import pytest

from policy_learner.archive import chain
from policy_learner.archive.chain import dataset_folder
from policy_learner.models.replay import replay
from sidecar.contracts import keys as app_keys
from sidecar.contracts.catalogue import encode_arms
from sidecar.contracts.scripts.working import decode_workers
from sidecar.contracts.upkeep import read_books
from tests.policy_learner.walking import rows
from tests.policy_learner.world import ARMS, World
from tests.waiting import until

APP = """
name = "world"
partitions = {partitions}
[reward]
horizon_s = 60
[model]
bits = 10
[learner]
archiver = "apart"
lease_s = 0.5
archive_every_s = 0.1
checkpoint_every_s = 0.2
trim_every_s = 0.1
status_every_s = 0.05
retry_s = 0.05
read_batch = 16
"""


class Scene:
    """The learner and its helpers over one store, each to be started, killed and paused."""

    def __init__(self, processes, data_folder, store, store_url, partitions):
        folder = data_folder.root / "app"
        folder.mkdir()
        (folder / "app.toml").write_text(APP.format(partitions=partitions))
        (folder / "arms.json").write_bytes(encode_arms(ARMS))
        self.world = World(store, data_folder, partitions)
        self.store, self._processes = store, processes
        self._arguments = ("--app", folder, "--data", data_folder.root)
        self._environ = {"REDIS_URL": store_url}
        self.events = []

    def start(self, module, **environ):
        module = f"policy_learner.{module}" if module else "policy_learner"
        return self._processes.start(module, *self._arguments, environ=self._environ | environ)

    def shop(self, count):
        self.events += self.world.shop(count)

    def learnt(self):
        return int(self.store.hget(app_keys.learner_status("world"), "examples") or 0)

    def workers(self):
        return decode_workers(self.store.hgetall(app_keys.workers("world")))

    def until_learnt(self, process):
        process.wait_until(lambda: self.learnt() == len(self.events), what="learnt")

    def until_archived(self, process):
        def is_all_there():
            return (self.world.log / "decisions").exists() and len(rows(self.world)) == len(self.events)

        process.wait_until(is_all_there, what="archived")

    def check(self):
        """One row each, whole chains, books at 0, and a replay without a mismatch."""
        assert Counter(row["decision_id"] for row in rows(self.world)) == Counter(
            event.decision_id for event in self.events
        )
        for keys in self.world.partitions:
            chain.verify(dataset_folder(self.world.log, "decisions", "world"), keys.partition)
            assert read_books(self.world.scripts, keys, count_rewards=True).balanced
        assert replay(self.world.application, self.world.data).clean


@pytest.fixture
def scene(processes, data_folder, store, store_url, request):
    return Scene(processes, data_folder, store, store_url, request.param)


@pytest.mark.parametrize("scene", [4], indirect=True)
def test_all_apart_everything_is_closed_learnt_and_archived_and_ends_in_order(scene):
    """The hash of workers says who is there; at SIGTERM each ends with 0 and is taken off it."""
    joiner, archiver, learner = scene.start("joiner"), scene.start("archiver"), scene.start("")
    scene.shop(60)
    scene.until_learnt(learner)
    scene.until_archived(archiver)
    joiner.wait_until(lambda: len(scene.workers()) == 2, what="in the list")
    assert {(seen.worker.kind, seen.worker.pid) for seen in scene.workers()} == {
        ("joiner", joiner.pid),
        ("archiver", archiver.pid),
    }
    assert [process.stop() for process in (joiner, learner, archiver)] == [0, 0, 0]
    assert scene.workers() == []
    scene.check()


@pytest.mark.slow
@pytest.mark.parametrize("scene", [1, 4, 64], indirect=True)
def test_killed_and_paused_joiners_and_archivers_lose_and_double_nothing(scene):
    """kill -9 under each in turn, SIGSTOP until another has its work, two of each at once."""
    learner, paused = scene.start(""), [scene.start("joiner"), scene.start("archiver")]
    scene.shop(30)
    scene.until_learnt(learner)
    for process in paused:
        process.child.send_signal(signal.SIGSTOP)
    others = [scene.start("joiner"), scene.start("archiver")]
    scene.shop(30)
    scene.until_learnt(learner)
    scene.until_archived(others[1])
    for process in paused:
        process.child.send_signal(signal.SIGCONT)
    scene.shop(30)
    scene.until_learnt(learner)
    for process in others:
        process.kill()
    scene.shop(30)
    scene.until_learnt(learner)
    scene.until_archived(paused[1])
    assert [process.stop() for process in (*paused[:1], learner, *paused[1:])] == [0, 0, 0]
    scene.check()


@pytest.mark.slow
@pytest.mark.parametrize("scene", [4], indirect=True)
@pytest.mark.parametrize("moment", ["file written:2", "linked:2", "archived:2"])
def test_an_archiver_killed_at_a_step_is_followed_by_one_that_goes_on(scene, moment):
    """By its own hand, just after the step."""
    learner = scene.start("")
    dying = scene.start("archiver", SIDEARM_FAILPOINT=moment)
    scene.shop(40)
    scene.until_learnt(learner)
    assert dying.exit_code() == -signal.SIGKILL
    archiver = scene.start("archiver")
    scene.shop(20)
    scene.until_learnt(learner)
    scene.until_archived(archiver)
    assert [learner.stop(), archiver.stop()] == [0, 0]
    scene.check()


@pytest.mark.parametrize("scene", [1], indirect=True)
@pytest.mark.parametrize("kind", ["joiner", "archiver"])
def test_bad_settings_are_one_line_and_exit_code_2(scene, kind):
    """With the setting's name and what is legal."""
    process = scene.start(kind, SIDEARM_LEARNER_LEASE_S="0")
    assert process.exit_code() == 2
    (line,) = process.output().splitlines()
    assert line.startswith(f"{kind}: ")
    assert "lease_s" in line


@pytest.mark.parametrize("scene", [1], indirect=True)
@pytest.mark.parametrize("kind", ["joiner", "archiver"])
def test_they_wait_for_a_store_that_is_not_there_yet(scene, kind, tmp_path):
    """No store is no reason to end; being told to stop is."""
    process = scene.start(kind, REDIS_URL=f"unix://{tmp_path / 'nowhere.sock'}")
    process.wait_until(lambda: "trying again" in process.output(), what="waiting")
    assert process.stop() == 0
    assert until(lambda: process.output().count("trying again") == 1, 1.0)
