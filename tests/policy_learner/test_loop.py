"""The learner's loop on the real store, step by step."""

from __future__ import annotations

from collections import Counter

import pyarrow.parquet as pq
import pytest
import redis

from policy_learner.archive import chain
from policy_learner.loop import step
from policy_learner.models.replay import replay
from policy_learner.report import report
from policy_learner.settings import LearnerSettings
from policy_learner.status import read as read_status
from sidecar.contracts import keys as app_keys
from sidecar.contracts.upkeep import read_books
from tests.policy_learner.walking import rows, steps, stop
from tests.policy_learner.world import HORIZON_MS, World


@pytest.fixture
def world(store: redis.Redis, data_folder) -> World:
    return World(store, data_folder)


def test_every_decision_becomes_one_row_with_its_reward(world):
    """Decided, rewarded, matured, stopped: one row each, the reward where it belongs, the books at 0."""
    learner = world.learner()
    events = world.shop(40)
    steps(learner)
    stop(learner)

    found = {row["decision_id"]: row for row in rows(world)}
    assert Counter(row["decision_id"] for row in rows(world)) == Counter(e.decision_id for e in events)
    for place, event in enumerate(events):
        row = found[event.decision_id]
        assert row["reward"] == (0.0 if place % 3 else 1.0 + event.arm_index)
        assert (row["reward_source_n"], row["learn"]) == (int(place % 3 == 0), True)
        assert (row["arm"], row["propensity"], row["source"]) == (event.arm, event.propensity, "model")
        assert abs(sum(row["pmf"]) - 1) < 1e-9
        assert row["pmf"][row["arm_index"]] == row["propensity"]
        assert row["arms"] == [f"sku-{n}" for n in range(4)]
    assert all(read_books(world.scripts, keys, count_rewards=True).balanced for keys in world.partitions)


@pytest.mark.parametrize("partitions", [1, 64])
def test_any_number_of_partitions_will_do(store, data_folder, partitions):
    """One, and as many as a production has: one row each, every one learnt."""
    world = World(store, data_folder, partitions)
    learner = world.learner()
    world.shop(100)
    steps(learner)
    stop(learner)
    assert len({row["decision_id"] for row in rows(world)}) == len(rows(world)) == 100
    assert world.weights().header.examples == 100
    assert replay(world.application, world.data).clean


def test_a_full_disk_stops_the_archive_and_nothing_else(world, monkeypatch):
    """Learning and publishing go on; when there is room again every row is written, once."""
    learner = world.learner()
    world.shop(10)
    write = chain._write

    def full(path, table):
        path.write_bytes(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(chain, "_write", full)
    world.now_s += 3600
    with pytest.raises(OSError, match="No space"):
        steps(learner)
    world.shop(10)
    while world.weights() is None or world.weights().header.examples < 20:
        world.now_s += 3600
        with pytest.raises(OSError, match="No space"):
            step(learner)
    monkeypatch.setattr(chain, "_write", write)
    stop(learner)
    assert len({row["decision_id"] for row in rows(world)}) == len(rows(world)) == 20
    assert replay(world.application, world.data).clean


def test_nothing_is_learnt_before_its_horizon_and_all_of_it_after(world):
    """The published weights say how many examples they know, and which came last in every partition."""
    learner = world.learner()
    for event in world.decide(10):
        world.reward(event, 1.0)
    steps(learner)
    assert world.weights() is None

    world.move(HORIZON_MS + 1)
    steps(learner)
    header = world.weights().header
    assert (header.examples, header.epoch) == (10, 1)
    assert header.positions == tuple(learner.progress.positions)
    assert any(world.weights().values)


def test_publishing_keeps_its_pace(store, data_folder):
    """Within the interval nothing is published twice; after it, what was learnt meanwhile is."""
    world = World(store, data_folder, settings=LearnerSettings(publish_every_s=3600.0))
    learner = world.learner()
    world.shop(5)
    steps(learner)
    assert world.weights() is None
    world.now_s += 3600
    steps(learner)
    assert world.weights().header.version == 1


def test_what_must_not_be_learnt_is_logged_all_the_same(world):
    """Certain answers and decisions marked so have their row and no effect."""
    learner = world.learner()
    world.decide(3, learn=False)
    world.decide(2, source="pre_policy", propensity=1.0)
    world.decide(4)
    world.move(HORIZON_MS + 1)
    steps(learner)
    stop(learner)
    assert world.weights().header.examples == 4
    assert Counter(row["learn"] for row in rows(world)) == {True: 4, False: 5}


def test_poison_goes_to_the_dead_letters_and_keeps_its_row(world):
    """A propensity above 1 and an unknown catalogue teach nothing; the examples beside them do."""
    learner = world.learner()
    world.decide(3)
    poisoned = world.decide(1, propensity=7.0) + world.decide(1, catalogue="gone")
    world.decide(3)
    world.move(HORIZON_MS + 1)
    steps(learner)
    stop(learner)

    assert world.weights().header.examples == 6
    learnt = {row["decision_id"]: row["learn"] for row in rows(world)}
    assert [d for d, learn in learnt.items() if not learn] == sorted(e.decision_id for e in poisoned)
    letters = [fields for keys in world.partitions for _, fields in world.client.xrange(keys.dead)]
    assert sorted(fields[b"i"].decode() for fields in letters) == sorted(e.decision_id for e in poisoned)
    assert all(fields[b"reason"] for fields in letters)


def test_foreign_bytes_in_the_stream_do_not_stop_the_learner(world):
    """What cannot be decoded is kept with its reason, and what comes after it is learnt."""
    learner = world.learner()
    world.client.xadd(
        world.partitions[0].examples, {"k": "F", "i": "x", "d": b"\xc1rubbish", "r": ""}, id="5-1"
    )
    world.client.xadd(world.partitions[1].examples, {"what": "else"}, id="5-1")
    world.shop(10)
    steps(learner)
    stop(learner)
    assert world.weights().header.examples == len(rows(world)) == 10
    assert [world.client.xlen(keys.dead) for keys in world.partitions] == [1, 1]

    again = world.learner()
    steps(again)
    assert [world.client.xlen(keys.dead) for keys in world.partitions] == [1, 1]


def test_late_and_orphaned_rewards_are_archived(world):
    """A reward after the horizon and one for nobody stand in the late dataset, once."""
    learner = world.learner()
    (event,) = world.shop(1)
    never = world.event()
    assert world.reward(never, 2.5, "orphan") == "EARLY"
    steps(learner)
    assert world.reward(event, 9.0, "tardy") == "LATE"
    world.move(round(world.application.reward.early_window_s * 1000) + 1)
    steps(learner)
    stop(learner)
    kept = {(row["kind"], row["decision_id"], row["reward_key"], row["value"]) for row in rows(world, "late")}
    assert kept == {("L", event.decision_id, "tardy", 9.0), ("P", never.decision_id, "orphan", 2.5)}
    assert len(rows(world, "late")) == 2


def test_the_gate_refuses_weights_that_are_not_numbers(world, monkeypatch):
    """They are not published, the numbers are shown, and the last good ones stand."""
    learner = world.learner()
    world.shop(5)
    steps(learner)
    good = world.client.hget(app_keys.weights("world"), "checksum")
    values = learner.training.trainer.weights_values()
    values[3] = float("nan")
    monkeypatch.setattr(learner.training.trainer, "weights_values", lambda: values)
    world.shop(5)
    steps(learner)
    assert world.client.hget(app_keys.weights("world"), "checksum") == good
    world.now_s += 10
    report(learner)
    status = read_status(world.client, "world")
    assert status.gate_refusals > 0
    assert "1 of 1024 weights are not finite" in status.last_error


def test_streams_are_trimmed_behind_checkpoint_and_archive_only(world):
    """Before both have an entry it stays; afterwards it goes."""
    learner = world.learner()
    world.shop(30)
    steps(learner)
    world.now_s += 10
    step(learner)
    assert sum(world.client.xlen(keys.examples) for keys in world.partitions) == 30
    stop(learner)
    assert sum(world.client.xlen(keys.examples) for keys in world.partitions) == 2
    assert world.client.xlen(app_keys.weights_log("world")) == 1


def test_rows_of_two_days_lie_in_two_files_of_one_chain(world):
    """A batch is cut at midnight, UTC, of the store's clock."""
    learner = world.learner()
    world.shop(10)
    step(learner)
    world.move(86_400_000)
    world.shop(10)
    steps(learner)
    stop(learner)
    folder = chain.dataset_folder(world.log, "decisions", "world")
    days = {path.parent.name for path in folder.glob("*/*.parquet")}
    assert len(days) == 2
    for lane in range(2):
        chain.verify(folder, lane)
    for path in folder.glob("*/*.parquet"):
        table = pq.read_table(path, partitioning=None)
        assert {f"dt={at.date()}" for at in table["finalised_at"].to_pylist()} == {path.parent.name}
    assert len(rows(world)) == 20


def test_status_tells_how_the_learner_is(world):
    """Positions, versions, lag and books can be read without asking the process."""
    learner = world.learner()
    world.shop(10)
    steps(learner)
    world.decide(3)
    world.now_s += 10
    report(learner)
    status = read_status(world.client, "world")
    assert (status.state, status.version, status.examples) == ("running", learner.progress.version, 10)
    assert (status.pending, status.books_decisions, status.books_rewards) == (3, 0, 0)
    assert (status.lag_ms, status.last_error, status.waiting_rows) == (0, "", 10 + learner.progress.version)
    assert status.epoch == learner.epoch
