"""Training and hand-over as processes, killed at every step: each base once, and every bit again."""

from __future__ import annotations

import os
import sys

import pytest

from policy_learner.archive.archive_reader import versions
from policy_learner.models.replay import replay
from policy_learner.rebase import offers
from sidecar.contracts import keys as app_keys
from sidecar.contracts.catalogue import encode_arms
from sidecar.contracts.upkeep import read_books
from tests.policy_learner.world import ARMS, World
from tests.waiting import until

APP = """
name = "world"
partitions = 2
[reward]
horizon_s = 60
[model]
bits = 10
[learner]
publish_every_s = 0.05
status_every_s = 0.05
archive_every_s = 0.05
trim_every_s = 0.05
checkpoint_every_s = 0.2
"""
TRAINING = ("base written", "checkpoint written:2", "base offered")
LEARNING = ("base taken", "base gated", "published", "base settled", "checkpoint saved")
KILLED = -9


class Running:
    """The learner over one data folder, and what is trained beside it."""

    def __init__(self, store, data_folder, store_url, processes, folder):
        (folder / "app.toml").write_text(APP)
        (folder / "arms.json").write_bytes(encode_arms(ARMS))
        self.world, self.processes, self.folder = World(store, data_folder), processes, folder
        self.checkpoints = data_folder.checkpoints("world")
        self.url, self.data = store_url, data_folder

    def learner(self, moment=""):
        environ = {"REDIS_URL": self.url, "SIDEARM_FAILPOINT": moment}
        arguments = ("--app", self.folder, "--data", self.data.root)
        return self.processes.start("policy_learner", *arguments, environ=environ)

    def train(self, moment=""):
        """Train on what is there, hand it over, wait for nobody; the exit code."""
        options = ["--hand-over", "--wait", "0", "--no-evaluation", "--epochs", "2"]
        command = [sys.executable, "-m", "policy_learner.rebase.train", str(os.getpid()), str(self.folder)]
        command += ["--data", str(self.data.root), *options]
        environ = {"SIDEARM_FAILPOINT": moment}
        return self.processes.run(command, "train", environ).exit_code(60.0)

    def settled(self):
        offer, outcome = offers.read_offer(self.checkpoints), offers.read_outcome(self.checkpoints)
        return offer is not None and outcome is not None and outcome.offer == offer

    def archived(self, client, rows):
        return int(client.hget(app_keys.learner_status("world"), "archived_rows") or 0) >= rows


@pytest.fixture
def running(store, data_folder, store_url, processes, tmp_path):
    return Running(store, data_folder, store_url, processes, tmp_path)


def taken_over(running):
    """The base that was settled last."""
    outcome = offers.read_outcome(running.checkpoints)
    assert outcome.version, outcome.reason
    return outcome.offer.base


@pytest.mark.slow
def test_killed_at_every_step_each_base_is_taken_over_once(running, store):
    """Training dies before, between and after its files; the learner at each of its own steps."""
    world = running.world
    learner = running.learner()
    world.shop(60)
    learner.wait_until(lambda: running.archived(store, 60), what="archived")
    for moment in TRAINING:
        assert running.train(moment) == KILLED
        assert (running.checkpoints / offers.OFFER).exists() == (moment == "base offered")
    until(running.settled, 60.0, "the offer that was made is taken up although its maker died")
    bases = [taken_over(running)]
    for moment in LEARNING:
        before = int(store.hget(app_keys.weights("world"), "version"))
        world.shop(30)
        learner.wait_until(
            lambda seen=before: int(store.hget(app_keys.weights("world"), "version")) > seen, what="learnt"
        )
        assert learner.stop() == 0
        assert running.train() == 0
        dying = running.learner(moment)
        world.shop(10)
        assert dying.exit_code(60.0) == KILLED
        learner = running.learner()
        learner.wait_until(lambda to=learner: "resumed at version" in to.output(), what="resumed")
        until(running.settled, 60.0, f"settled after {moment}")
        bases.append(taken_over(running))
    assert learner.stop() == 0
    in_log = [entry.base for entry in versions(world.log, "world") if entry.base]
    assert in_log == bases
    assert len(set(bases)) == len(bases)
    assert all(read_books(world.scripts, keys, count_rewards=True).balanced for keys in world.partitions)
    replayed = replay(world.application, world.data)
    assert replayed.clean, replayed.told
    assert replayed.counts["versions"] == world.weights().header.version


@pytest.mark.slow
def test_a_night_trains_and_hands_over_by_itself(running, store):
    """The setting alone; the process runs behind everything else and dies with its learner."""
    world = running.world
    learner = running.learner()
    world.shop(60)
    learner.wait_until(lambda: running.archived(store, 60), what="archived")
    assert learner.stop() == 0
    (running.checkpoints / "nightly.json").write_text('{"due_ms": 0, "attempts": 0, "is_done": true}')
    environ = {"REDIS_URL": running.url, "SIDEARM_LEARNER_REBASE_AT": "00:00"}
    arguments = ("--app", running.folder, "--data", running.data.root)
    learner = running.processes.start("policy_learner", *arguments, environ=environ)
    until(running.settled, 60.0, "handed over")
    assert offers.read_outcome(running.checkpoints).version
    assert learner.stop() == 0
    assert "▶ 1" in learner.output()
    assert replay(world.application, world.data).clean
