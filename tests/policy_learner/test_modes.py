"""Modes assume and earliest: what is learnt before the horizon, archived, and learnt again from the log."""

from __future__ import annotations

import msgspec
import pyarrow.dataset as ds
import pytest
import redis

from policy_learner.archive.archive_reader import LogReader
from policy_learner.archive.show import find
from policy_learner.join.source import lessons_of
from policy_learner.join.streams import read_after
from policy_learner.learning.teaching import Effect, Teaching, teaching_of
from policy_learner.loop import drain, step
from policy_learner.models.replay import replay
from policy_learner.settings import LearnerSettings
from sidecar.contracts.events import JoinedDecision, RewardRecord, encode_decision, features_of
from sidecar.contracts.reward_section import RewardConfig
from sidecar.contracts.scripts.finalise import decode_example
from tests.policy_learner.world import HORIZON_MS, World

MODES = ("wait", "assume", "earliest")


@pytest.fixture(params=MODES)
def world(request, store: redis.Redis, data_folder) -> World:
    return World(store, data_folder, mode=request.param)


def of_mode(store, data_folder, mode, **settings) -> World:
    chosen = LearnerSettings(publish_every_examples=1, archive_rows=1000, **settings)
    return World(store, data_folder, partitions=1, settings=chosen, mode=mode)


def steps(learner):
    while step(learner):
        pass


def stop(learner):
    drain(learner, lambda: True)


def rows(world, dataset):
    folder = world.log / dataset
    return ds.dataset(folder, partitioning="hive").to_table().to_pylist() if folder.is_dir() else []


def lessons(world):
    found = sorted(rows(world, "lessons"), key=lambda row: row["position"])
    return [(row["kind"], row["reward"], row["reward_key"], row["reward_source_n"]) for row in found]


def busy(world, learner):
    """Early rewards, several, none; deferred decisions, activated or not; in several versions."""
    events = []
    for n in range(6):
        some = world.decide(4, deferred=n % 3 == 2)
        events += some
        for event in some[:2]:
            assert world.reward(event, 1.0 + event.arm_index, "first") == "OK"
        if n % 3 == 2:
            assert world.activate(some[0]) == "OK"
            assert world.activate(some[2]) == "OK"
        steps(learner)
        assert world.reward(some[0], 2.0, "second") == "OK"
        steps(learner)
    return events


def test_assumed_at_once_and_corrected_by_each_reward(store, data_folder):
    """A when it is made, C when a reward comes; the row at the horizon teaches nothing more."""
    world = of_mode(store, data_folder, "assume")
    learner = world.learner()
    (event,) = world.decide()
    steps(learner)
    assert learner.training.examples == 1
    world.reward(event, 2.0, "a")
    world.reward(event, 0.5, "b")
    steps(learner)
    assert learner.training.examples == 3
    world.move(HORIZON_MS + 1)
    steps(learner)
    assert learner.training.examples == 3
    stop(learner)
    assert lessons(world) == [("A", 0.0, "", 0), ("C", 2.0, "a", 1), ("C", 0.5, "b", 2)]
    (row,) = rows(world, "decisions")
    assert (row["reward"], row["reward_source_n"], row["mode"], row["learn"]) == (2.5, 2, "a", True)


def test_the_earliest_reward_is_the_one_example(store, data_folder):
    """Learnt at once with it; a later reward is in the row only. Without any it is learnt at the horizon."""
    world = of_mode(store, data_folder, "earliest")
    learner = world.learner()
    bought, left = world.decide(2)
    steps(learner)
    assert learner.training.examples == 0
    world.reward(bought, 2.0, "a")
    steps(learner)
    assert learner.training.examples == 1
    world.reward(bought, 3.0, "b")
    steps(learner)
    assert learner.training.examples == 1
    world.move(HORIZON_MS + 1)
    steps(learner)
    assert learner.training.examples == 2
    stop(learner)
    assert lessons(world) == [("E", 2.0, "", 1)]
    assert {row["decision_id"]: row["reward"] for row in rows(world, "decisions")} == {
        bought.decision_id: 5.0,
        left.decision_id: 0.0,
    }


def test_what_was_never_activated_has_its_row_and_teaches_nothing(world):
    """In every mode; its rewards are in the row."""
    learner = world.learner()
    never, active = world.decide(2, deferred=True)
    for event in (never, active):
        assert world.reward(event, 1.0) == "OK"
    assert world.activate(active) == "OK"
    world.move(HORIZON_MS + 1)
    steps(learner)
    stop(learner)
    found = {row["decision_id"]: row for row in rows(world, "decisions")}
    told = [(found[e.decision_id]["activated"], found[e.decision_id]["learn"]) for e in (never, active)]
    assert told == [(False, False), (True, True)]
    assert [row["reward"] for row in found.values()] == [1.0, 1.0]
    assert learner.training.examples == {"wait": 1, "assume": 2, "earliest": 1}[world.application.reward.mode]
    assert {row["decision_id"] for row in rows(world, "lessons")} <= {active.decision_id}


def test_the_log_alone_gives_the_weights_again(world):
    """After everything is trimmed: a replay finds nothing, and the reader tells what the stream told."""
    learner = world.learner()
    busy(world, learner)
    world.move(HORIZON_MS + 1)
    steps(learner)
    told = {keys: read_after(world.client, keys.examples, "0-0", 10_000) for keys in world.partitions}
    stop(learner)
    reader = LogReader(world.log, "world", 2)
    for keys, entries in told.items():
        again = reader.examples(keys.partition, entries[0][0], entries[-1][0])
        lessons = lessons_of(keys, entries, world.application.reward)
        assert list(map(_in_full, again)) == [_in_full(one.taught) for one in lessons]
    result = replay(world.application, world.data)
    assert result.clean, result.told
    assert result.counts["examples"] == learner.training.examples > 0
    assert all(world.client.xlen(keys.examples) <= 1 for keys in world.partitions)


def test_a_start_from_a_checkpoint_equals_never_having_stopped(world):
    """Weights, figures and calibration; what was not published is read again."""
    learner = world.learner()
    busy(world, learner)
    stop(learner)
    again = world.learner()
    assert again.training.record(1, 1).encoded == learner.training.record(1, 1).encoded
    one, other = (training.saved(1, 1, ()) for training in (again.training, learner.training))
    assert one.examples == other.examples > 0 or world.application.reward.mode == "wait"
    for name in ("trained", "watched", "progressive", "calibration"):
        assert getattr(one, name) == getattr(other, name)
    world.decide(2)
    world.move(HORIZON_MS + 1)
    steps(again)
    assert not again.figures.rebuild_mismatch
    stop(again)
    assert replay(world.application, world.data).clean


def test_killed_between_two_files_nothing_is_lost_or_doubled(world):
    """A learner that never stopped in order; the next one reads again what is in no file."""
    for _ in range(3):
        learner = world.learner()
        busy(world, learner)
        world.now_s += 100.0  # files, a checkpoint, a trim
        step(learner)
        world.decide(2)
        step(learner)
    world.move(HORIZON_MS + 1)
    last = world.learner()
    steps(last)
    stop(last)
    for dataset in ("decisions", "lessons"):
        positions = [(row["partition"], row["position"]) for row in rows(world, dataset)]
        assert len(set(positions)) == len(positions)
    assert len({row["decision_id"] for row in rows(world, "decisions")}) == 3 * 26
    assert replay(world.application, world.data).clean


def test_the_metrics_see_a_decision_when_its_reward_is_known(world):
    """Each once, with the reward of its row; in mode earliest with the first one."""
    learner = world.learner()
    events = world.decide(30)
    for event in events[::3]:
        world.reward(event, 1.0)
    steps(learner)
    early = learner.training.progressive.figures().by_count.examples
    world.move(HORIZON_MS + 1)
    steps(learner)
    figures = learner.training.progressive.figures().by_count
    assert (figures.examples, round(figures.reward, 9)) == (30, round(1 / 3, 9))
    assert early == {"wait": 0, "assume": 0, "earliest": 10}[world.application.reward.mode]


def test_poison_is_refused_at_its_first_lesson_and_said_in_its_row(world):
    """Its corrections are refused with it."""
    learner = world.learner()
    poisoned, sound = world.decide(1, propensity=2.0)[0], world.decide()[0]
    for event in (poisoned, sound):
        world.reward(event, 1.0)
    world.move(HORIZON_MS + 1)
    steps(learner)
    stop(learner)
    found = {row["decision_id"]: row["learn"] for row in rows(world, "decisions")}
    assert found == {poisoned.decision_id: False, sound.decision_id: True}
    refused = sum(world.client.xlen(keys.dead) for keys in world.partitions)
    assert refused == {"wait": 1, "assume": 2, "earliest": 1}[world.application.reward.mode]
    again = world.learner()  # who learns what was refused from the store
    assert again.dead_letters.refuses(_joined(poisoned, world))
    assert not again.dead_letters.refuses(_joined(sound, world))


def _in_full(taught: Teaching) -> tuple[object, ...]:
    """With the event's own bytes: of two that were decoded in two ways, all fields."""
    return encode_decision(taught.event), features_of(taught.event), taught.reward, taught.effect


def _joined(event, world) -> JoinedDecision:
    mode = world.application.reward.mode[0]
    at = next(r["position"] for r in rows(world, "decisions") if r["decision_id"] == event.decision_id)
    return JoinedDecision(world.keys_of(event).partition, at, event, (), b"", "F", mode)


@pytest.mark.parametrize("aggregation", ["sum", "earliest", "latest", "max", "min", "mean", "median"])
def test_corrections_add_up_to_the_reward_of_the_row(store, data_folder, aggregation):
    """Whatever the aggregation, and whether rewards came early or not."""
    world = of_mode(store, data_folder, "assume")
    config = RewardConfig(horizon_s=60.0, mode="assume", default=-0.25, aggregation=aggregation)
    world.application = msgspec.structs.replace(world.application, reward=config)
    event = world.event()
    for n, value in enumerate((3.0, -1.0, 8.0)):
        assert world.reward(event, value, f"early-{n}") == "EARLY"
    world.log_decision(event)
    for n, value in enumerate((0.5, -4.0, 2.0)):
        world.reward(event, value, f"later-{n}")
    entries = [decode_example(0, *entry) for entry in store.xrange(world.partitions[0].examples)]
    taught = [teaching_of(entry, config) for entry in entries]
    assert [one.effect for one in taught] == [Effect.ASSUMED, *[Effect.CORRECTED] * 6]
    world.move(HORIZON_MS + 1)
    learner = world.learner()
    steps(learner)
    stop(learner)
    (row,) = rows(world, "decisions")
    assert sum(one.reward for one in taught) == pytest.approx(row["reward"], abs=1e-12)


def test_an_entry_without_its_reward_is_a_dead_letter(store, data_folder):
    """A correction that does not hold the reward which it names, from foreign hands."""
    world = of_mode(store, data_folder, "assume")
    world.decide()
    keys = world.partitions[0]
    (_, fields) = store.xrange(keys.examples)[0]
    store.xadd(keys.examples, {**fields, b"k": b"C", b"n": b"nobody's", b"r": b"\x90"})
    learner = world.learner()
    steps(learner)
    assert store.xlen(keys.dead) == 1
    assert learner.training.examples == 1


def test_show_tells_how_a_decision_was_learnt(store, data_folder):
    """Its lessons beside its row."""
    world = of_mode(store, data_folder, "assume")
    learner = world.learner()
    (event,) = world.decide()
    world.reward(event, 1.0)
    world.move(HORIZON_MS + 1)
    steps(learner)
    stop(learner)
    logged = find(world.log, world.application, event.decision_id)
    assert [lesson["kind"] for lesson in logged.lessons] == ["A", "C"]


def test_a_mode_that_changes_leaves_pending_decisions_as_they_were(store, data_folder):
    """Each is learnt as it was promised, and a replay of the mixture finds nothing."""
    world = of_mode(store, data_folder, "wait")
    learner = world.learner()
    for mode in ("wait", "assume", "earliest", "wait"):
        reward = msgspec.structs.replace(world.application.reward, mode=mode)
        world.application = msgspec.structs.replace(world.application, reward=reward)
        for event in world.decide(4)[::2]:
            world.reward(event, 1.0)
        stop(learner)
        learner = world.learner()
    world.move(HORIZON_MS + 1)
    steps(learner)
    stop(learner)
    assert sorted(row["mode"] for row in rows(world, "decisions")) == ["a"] * 4 + ["e"] * 4 + ["w"] * 8
    assert replay(world.application, world.data).clean


def test_rewards_of_one_time_and_other_keys_are_a_correction_each():
    """What was there before a reward is all the others, also those that came in the same millisecond."""
    config = RewardConfig(mode="assume", aggregation="max", default=-1.0)
    first, second = RewardRecord("a", 5, 2.0, 0), RewardRecord("b", 5, 7.0, 0)
    told = [
        teaching_of(JoinedDecision(0, "5-0", None, rewards, b"", "C", "a", key), config).reward
        for rewards, key in (((first,), "a"), ((first, second), "b"))
    ]
    assert told == [3.0, 5.0]
