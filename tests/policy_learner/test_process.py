"""The learner as a process: how it starts, stops, and says why it does not."""

from __future__ import annotations

import pytest
import redis

from sidecar.contracts import keys as app_keys
from sidecar.contracts.catalogue import encode_arms
from sidecar.contracts.store import take_epoch
from tests.policy_learner.world import ARMS, HORIZON_MS, World
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
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "app.toml").write_text(APP)
    (tmp_path / "app" / "arms.json").write_bytes(encode_arms(ARMS))
    return tmp_path / "app"


@pytest.fixture
def start(processes, folder, data_folder, store_url):
    def started(**environ):
        arguments = ("--app", folder, "--data", data_folder.root)
        return processes.start("policy_learner", *arguments, environ={"REDIS_URL": store_url} | environ)

    return started


def status(store: redis.Redis, field: str) -> str:
    return (store.hget(app_keys.learner_status("world"), field) or b"").decode()


def test_it_learns_publishes_and_stops_in_order(start, store, data_folder):
    """At SIGTERM everything is on disk, the status says so, and the exit code is 0."""
    world = World(store, data_folder)
    process = start()
    world.shop(20)
    process.wait_until(lambda: status(store, "examples") == "20", what="learnt")
    assert process.stop() == 0
    assert status(store, "state") == "stopped"
    assert status(store, "archived_rows") == str(20 + int(status(store, "version")))
    assert list(data_folder.checkpoints("world").glob("*.checkpoint"))


def test_a_later_learner_makes_it_go(start, store, data_folder):
    """Its own exit code, and one line that says why."""
    world = World(store, data_folder)
    process = start()
    process.wait_until(lambda: status(store, "state") == "running", what="running")
    take_epoch(store, "world")
    world.shop(5)
    assert process.exit_code() == 3
    assert "fenced off" in process.output().splitlines()[-1]


def test_another_data_folder_than_the_stores_is_said(start, store, data_folder):
    """What was learnt so far is not silently forgotten: exit code 4, and what to do."""
    world = World(store, data_folder)
    process = start()
    world.shop(5)
    process.wait_until(lambda: status(store, "examples") == "5", what="learnt")
    process.stop()
    for path in (*data_folder.root.rglob("*.checkpoint"), *data_folder.root.rglob("*.parquet")):
        path.unlink()
    refused = start()
    assert refused.exit_code() == 4
    assert "SIDEARM_LEARNER_COLD_START" in refused.output().splitlines()[-1]


def test_it_waits_for_a_store_that_is_not_there_yet(start, processes, store, tmp_path):
    """No store is no reason to end; being told to stop is."""
    process = start(REDIS_URL=f"unix://{tmp_path / 'nowhere.sock'}")
    process.wait_until(lambda: "trying again" in process.output(), what="waiting")
    assert process.stop() == 0


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"SIDEARM_LEARNER_IDLE_S": "soon"}, "idle_s"),
        ({"SIDEARM_LEARNER_READ_BATCH": "0"}, "read_batch"),
        ({"SIDEARM_LEARNER_BATCH": "3"}, "SIDEARM_LEARNER_BATCH: no such setting"),
        ({"REDIS_URL": "http://example"}, "redis://"),
        ({"SIDEARM_LEARNER_ARCHIVE_URL": "bucket/shop"}, "s3://bucket/folder"),
    ],
)
def test_bad_settings_are_one_line_and_exit_code_2(start, environ, said):
    """With the setting's name and what is legal."""
    process = start(**environ)
    assert process.exit_code() == 2
    (line,) = process.output().splitlines()
    assert said in line


def test_the_store_may_go_and_come_back(store, data_folder, folder, processes, tmp_path):
    """Killed under the learner and started again: the same process goes on, and nothing is lost."""
    from decision_service.cli.store import start_store

    server = start_store(data_folder)
    process = processes.start("policy_learner", "--app", folder, "--data", data_folder.root)
    with redis.Redis.from_url(server.url) as client:
        world = World(client, data_folder)
        world.shop(10)
        process.wait_until(lambda: status(client, "examples") == "10", what="learnt")
    server.kill()
    process.wait_until(lambda: "trying again" in process.output(), what="noticed")
    with start_store(data_folder) as server, redis.Redis.from_url(server.url) as client:
        world.client = client
        world.scripts = type(world.scripts).on(client)
        world.shop(10)
        until(lambda: status(client, "examples") == "20", 60.0, "learnt after the store came back")
        assert status(client, "books_decisions") == status(client, "books_rewards") == "0"
        until(lambda: not status(client, "last_error"), 60.0, "error forgotten")
        assert process.stop() == 0
        assert HORIZON_MS == 60_000
