"""The learner as a process that compacts its log: killed at every step of it, nothing is lost or double."""

from __future__ import annotations

import signal
from collections import Counter

import pytest

from policy_learner.archive import chain
from policy_learner.archive.chain import dataset_folder
from policy_learner.models.replay import replay
from sidecar.contracts import keys as app_keys
from sidecar.contracts.catalogue import encode_arms
from sidecar.contracts.log_files import read_manifest
from sidecar.contracts.upkeep import read_books
from tests.policy_learner.logs import read_ids
from tests.policy_learner.world import ARMS, World

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
compact_every_s = 0.05
compact_files = 3
compact_grace_s = 3
"""
MOMENTS = (
    "compacted file written:2",
    "compacted file named",
    "manifest written:3",
    "manifest swapped",
    "manifest swapped:3",
    "replaced file removed:2",
)


@pytest.mark.slow
def test_killed_at_every_step_of_a_compaction_the_log_holds_every_decision_once(
    store, data_folder, store_url, processes, tmp_path
):
    """One life after the other, each ended by kill -9 at a step; then an orderly stop, and a replay."""
    (tmp_path / "app.toml").write_text(APP)
    (tmp_path / "arms.json").write_bytes(encode_arms(ARMS))
    world, decided = World(store, data_folder), Counter()
    folder = dataset_folder(world.log, "decisions", "world")
    arguments = ("--app", tmp_path, "--data", data_folder.root)
    for moment in MOMENTS:
        process = processes.start(
            "policy_learner", *arguments, environ={"REDIS_URL": store_url, "SIDEARM_FAILPOINT": moment}
        )
        while process.alive():
            events = world.shop(4)
            decided.update(event.decision_id for event in events)
            world.reward(events[0], 1.0, "too late")
            found = read_ids(folder)
            assert max(found.values(), default=1) == 1
        assert process.exit_code() == -signal.SIGKILL, process.output()
        assert not set(read_ids(folder)) - set(decided)
    store.delete(app_keys.learner_status("world"))  # those who were killed said the same
    last = processes.start("policy_learner", *arguments, environ={"REDIS_URL": store_url})
    last.wait_until(lambda: store.hget(app_keys.learner_status("world"), "pending") == b"0", what="finalised")
    assert last.stop() == 0
    assert read_ids(folder) == decided
    assert read_manifest(folder).generation >= 3
    for dataset in ("decisions", "late"):
        for lane in range(2):
            chain.verify(dataset_folder(world.log, dataset, "world"), lane)
    assert all(read_books(world.scripts, keys).balanced for keys in world.partitions)
    replayed = replay(world.application, world.data)
    assert replayed.clean, replayed.told
    assert replayed.counts["decisions"] == decided.total()
