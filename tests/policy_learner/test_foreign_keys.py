"""Foreign bytes under every key of the join: each is named and passed over, and the rest goes on."""

from __future__ import annotations

from threading import Event

import pyarrow.dataset as ds
import pytest

from policy_learner.loop import step
from policy_learner.run import _turn
from sidecar.contracts import keys as app_keys
from sidecar.contracts.layout import DataFolder
from sidecar.contracts.upkeep import finalise_due, give_up_orphans, read_books
from tests.policy_learner.world import HORIZON_MS, World

DAY_MS = 86_400_000
STRANGERS = [b"stranger", b"\xff\xfe", b"0-1", b""]


@pytest.fixture
def world(store, data_folder: DataFolder) -> World:
    return World(store, data_folder, partitions=1)


SHARED = ("counters", "due", "orphans", "examples", "late", "dead", "lease")
OF_APP = ("weights", "deltas", "weights_log", "learner_status", "learnt", "model_infos", "contests")


def rows_of(world: World, dataset: str) -> list[dict]:
    return ds.dataset(world.log / dataset, partitioning="hive").to_table().to_pylist()


def run(world: World, steps: int = 3):
    """A learner's steps, with every timer due at each."""
    learner = world.learner()
    for _ in range(steps):
        world.now_s += 3600
        step(learner)
    return learner


@pytest.mark.parametrize("by_hand", [False, True])
def test_members_that_are_no_decisions_leave_the_timers(world, store, by_hand):
    """Those that are decisions are finalised and given up all the same; the strangers are counted."""
    (keys,) = world.partitions
    for name in STRANGERS:
        store.zadd(keys.due, {name: 1})
        store.zadd(keys.orphans, {name: 1})
    world.shop(3)
    orphan = world.event()
    world.reward(orphan, 1.0)
    world.move(600_001)

    if by_hand:
        while finalise_due(world.scripts, keys, tombstone_ms=DAY_MS, batch=2):
            pass
        while give_up_orphans(world.scripts, keys, batch=2):
            pass
    else:
        run(world)

    assert (store.zcard(keys.due), store.zcard(keys.orphans)) == (0, 0)
    assert read_books(world.scripts, keys, count_rewards=True) == (0, 0)
    assert store.hget(keys.counters, "strangers") == b"8"
    assert store.hget(keys.counters, "fin") == b"3"
    assert store.hget(keys.counters, "rew_orphan") == b"1"


@pytest.mark.parametrize(
    "torn", [b"no bar", b"|", b"123x|payload", b"1700000000000|\xc1", b"1700000000000a|"]
)
def test_a_decision_that_is_torn_is_a_dead_letter(world, store, torn):
    """It leaves by exactly one entry, as every decision does; those beside it are learnt."""
    (keys,) = world.partitions
    events = world.shop(4)
    store.set(keys.decision(events[1].decision_id), torn)

    learner = run(world)

    assert learner.training.examples == 3
    assert [fields[b"i"] for _, fields in store.xrange(keys.dead)] == [events[1].decision_id.encode()]
    assert read_books(world.scripts, keys, count_rewards=True) == (0, 0)
    assert {row["decision_id"] for row in rows_of(world, "decisions")} == {
        event.decision_id for event in (*events[:1], *events[2:])
    }


@pytest.mark.parametrize("torn", [b"no record", b"\xff\xfe", b"99999999999999999999|1.0|0||", b"1|x|0||"])
def test_a_reward_that_is_torn_makes_its_decision_a_dead_letter(world, store, torn):
    """Nobody can say what it earned."""
    (keys,) = world.partitions
    events = world.decide(3)
    store.hset(keys.rewards(events[0].decision_id), "k", torn)
    world.move(HORIZON_MS + 1)

    learner = run(world)

    assert learner.training.examples == 2
    assert store.xlen(keys.dead) == 1


@pytest.mark.parametrize("kind", ["hash", "list", "stream"])
def test_a_key_of_another_kind_is_a_decision_that_was_lost(world, store, kind):
    """The books say so; its rewards are given up, the others are finalised."""
    (keys,) = world.partitions
    events = world.shop(3)
    key = keys.decision(events[0].decision_id)
    store.delete(key)
    {"hash": lambda: store.hset(key, "a", "b"), "list": lambda: store.rpush(key, "a"),
     "stream": lambda: store.xadd(key, {"a": "b"})}[kind]()  # fmt: skip

    learner = run(world)

    assert learner.training.examples == 2
    assert store.hget(keys.counters, "dec_lost") == b"1"
    assert read_books(world.scripts, keys, count_rewards=True) == (1, 0)


@pytest.mark.parametrize("ahead_ms", [3_600_000, 10**17])
def test_an_entry_with_a_time_that_is_to_come_stops_nobody(world, store, ahead_ms):
    """In any stream: what comes after it lies behind it, and is learnt, given up, published and archived."""
    (keys,) = world.partitions
    run(world)
    now_ms = store.time()[0] * 1000
    for stream in (keys.examples, keys.late, keys.dead, "{world}:w:log", "{world}:w:deltas"):
        store.xadd(stream, {"a": "b"}, id=f"{now_ms + ahead_ms}-0")
    events = world.shop(3)
    assert world.reward(events[0], 9.0) == "DUP"
    world.reward(world.event(), 1.0)
    world.move(600_001)

    learner = run(world)
    events += world.shop(2)
    run(world)

    assert learner.training.examples == 3
    assert world.weights().header.examples == 5
    assert read_books(world.scripts, keys, count_rewards=True) == (0, 0)
    assert {row["decision_id"] for row in rows_of(world, "decisions")} == {one.decision_id for one in events}
    assert sorted(row["kind"] for row in rows_of(world, "late")) == ["P", "X"]


def test_foreign_entries_in_every_stream_are_passed_over(world, store):
    """Examples, late rewards, dead letters: named in the log, and what is behind them is read."""
    (keys,) = world.partitions
    world.shop(2)
    run(world)
    for stream in (keys.examples, keys.late, keys.dead):
        for fields in ({"a": "b"}, {"k": "F"}, {b"\xff": b"\xfe"}, {"k": "C", "d": "x", "r": b"\xc1"}):
            store.xadd(stream, fields)
    world.shop(3)
    (event,) = world.decide(1)
    world.move(HORIZON_MS + 1)
    run(world, 1)
    assert world.reward(event, 1.0) == "LATE"

    learner = run(world)

    assert learner.training.examples == 6
    assert len(rows_of(world, "decisions")) == 6
    assert [row["kind"] for row in rows_of(world, "late")] == ["L"]


@pytest.mark.parametrize("name", [*SHARED, *OF_APP])
def test_a_key_of_another_kind_stops_the_learner_once(world, store, name):
    """It is thrown away and named; what comes after it is joined, learnt, published and archived."""
    (keys,) = world.partitions
    key = getattr(keys, name) if name in SHARED else getattr(app_keys, name)("world")
    learner = turns(world.learner(), world)
    events = world.shop(3)
    learner = turns(learner, world)
    store.delete(key)
    store.rpush(key, "a stranger's")

    learner = turns(learner, world)
    events += world.shop(3)
    learner = turns(learner, world)

    assert store.type(key) != b"list"
    assert not learner.figures.step_error
    assert learner.training.examples == world.weights().header.examples == 6
    assert {row["decision_id"] for row in rows_of(world, "decisions")} == {one.decision_id for one in events}
    assert world.learner().training.examples == 6


def turns(learner, world):
    """As ``run`` does it, with every timer due at each."""
    for _ in range(4):
        world.now_s += 3600
        learner = _turn(learner, Event())
    return learner
