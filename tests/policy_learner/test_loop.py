"""The learner's loop on the real store, step by step."""

from __future__ import annotations

import hashlib
from collections import Counter

import msgspec
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
import redis

from policy_learner.archive import chain
from policy_learner.errors import BadCheckpoint, CannotRebuild, Fenced
from policy_learner.join.learnt import Learnt
from policy_learner.loop import drain, step
from policy_learner.models import publish
from policy_learner.models.replay import replay
from policy_learner.report import report
from policy_learner.settings import LearnerSettings
from policy_learner.status import read as read_status
from sidecar.contracts import keys as app_keys
from sidecar.contracts.upkeep import read_books
from tests.policy_learner.world import HORIZON_MS, World


@pytest.fixture
def world(store: redis.Redis, data_folder) -> World:
    return World(store, data_folder)


def steps(learner, most=50):
    """Steps until there is nothing to do."""
    for _ in range(most):
        if not step(learner):
            return
    raise AssertionError("the learner does not come to rest")


def stop(learner):
    drain(learner, lambda: True)


def rows(world, dataset="decisions"):
    return ds.dataset(world.log / dataset, partitioning="hive").to_table().to_pylist()


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


@pytest.fixture
def replayable(world):
    """A log of two runs, some of it scored by weights."""
    for _ in range(2):
        learner = world.learner()
        for _ in range(3):
            world.shop(15)
            steps(learner)
        stop(learner)
    return world


def test_replay_of_an_untouched_log_finds_nothing(replayable):
    """Every draw, score, pmf and version comes out the same."""
    result = replay(replayable.application, replayable.data)
    assert result.clean, result.told
    counts = result.counts
    assert counts["decisions"] == counts["drawn"] == counts["scored"] == counts["examples"] == 90
    assert counts["versions"] == replayable.weights().header.version


def test_replay_counts_imports_and_trains_on_them(world):
    """Of somebody else's decisions the draw cannot be done again; their training can."""
    learner = world.learner()
    world.decide(
        5,
        source="import",
        scores=b"",
        seed="",
        exploration=type(world.event().exploration)(scheme="logged"),
        propensity=0.25,
    )
    world.move(HORIZON_MS + 1)
    steps(learner)
    stop(learner)
    result = replay(world.application, world.data)
    assert result.clean, result.told
    assert (result.counts["imported"], result.counts["drawn"], result.counts["examples"]) == (5, 0, 5)
    assert {row["scores"] for row in rows(world)} == {row["pmf"] for row in rows(world)} == {None}


def tamper(world, column, change):
    """Alter one column of one file of the log, and leave everything else as it is."""
    folder = chain.dataset_folder(world.log, "decisions", "world")
    path = sorted(folder.glob("*/*.parquet"))[0]
    table = pq.read_table(path, partitioning=None)
    values = table[column].to_pylist()
    values[0] = change(values[0])
    at = table.schema.get_field_index(column)
    field = table.schema.field(column)
    pq.write_table(table.set_column(at, field, pa.array(values, field.type)), path)


@pytest.mark.parametrize(
    ("column", "change", "what"),
    [
        ("arm", lambda arm: "sku-9", {"row", "draw"}),
        ("scores", lambda scores: [*scores[:-1], scores[-1] + 1e-6], {"row"}),
        ("pmf", lambda pmf: pmf[::-1] if pmf[0] != pmf[-1] else [*pmf[:-1], 0.5], {"pmf"}),
        ("propensity", lambda p: p * (1 + 1e-15), {"row", "draw"}),
        ("reward", lambda reward: reward + 1.0, {"weights"}),
        ("event", lambda event: event.replace(b"sku-", b"sku_"), {"row", "draw", "weights"}),
    ],
)
def test_replay_notices_what_was_tampered_with(replayable, column, change, what):
    """One value of one row altered is a mismatch that is named."""
    tamper(replayable, column, change)
    assert what & set(replay(replayable.application, replayable.data).mismatches)


def test_replay_notices_a_file_that_is_gone(replayable):
    """The chain is broken where a file is missing."""
    folder = chain.dataset_folder(replayable.log, "decisions", "world")
    chain.links(folder, 0)[0].path.unlink()
    assert replay(replayable.application, replayable.data).mismatches["chain"]


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
