"""Events that decode and are odd all the same: whatever is learnt has its row, and nobody is stopped."""

from __future__ import annotations

import pyarrow.dataset as ds
import pytest

from policy_learner.loop import step
from sidecar.contracts.application import Exploration
from sidecar.contracts.events import Candidate, Shadow
from sidecar.contracts.upkeep import read_books
from tests.policy_learner.world import HORIZON_MS, World

ROWLESS = [
    {"scores": b"odd"},
    {"decided_at_ms": 2**62},
    {"decided_at_ms": -1},
    {"model_version": 2**64 - 1},
    {"arm_index": 2**40},
    {"propensity_mc_n": 2**40},
    {"exploration": Exploration(epsilon=7.0)},
    {"exploration": Exploration("nobody's")},
]
ODD = [
    {"scores": b"four"},
    {"scores": b""},
    {"candidates": (Candidate("other", 1, 0.5, Exploration(), b"odd"),)},
    {"shadows": (Shadow("other", 1, b"odd"),)},
    {"official_probability": float("nan")},
]


def run(world):
    """A learner's steps, with every timer due at each."""
    learner = world.learner()
    for _ in range(4):
        world.now_s += 3600
        step(learner)
    return learner


def rows_of(world, dataset):
    folder = world.log / dataset
    return ds.dataset(folder, partitioning="hive").to_table().to_pylist() if folder.exists() else []


def told(world, store, all_odd):
    """Odd ones, each between plain decisions, rewards for every other one, and the end of the horizon."""
    events, strange = world.decide(1), []
    for odd in all_odd:
        strange.append(world.event(**odd))
        world.log_decision(strange[-1])
        events += world.decide(1)
    for event in [*events[::2], *strange]:
        assert world.reward(event, 1.0) == "OK"
    world.move(HORIZON_MS + 1)
    return ids(events), ids(strange)


def ids(events):
    return {event.decision_id for event in events}


@pytest.mark.parametrize("mode", ["wait", "assume", "earliest"])
def test_what_no_row_can_hold_is_a_dead_letter_and_not_learnt(store, data_folder, mode):
    """Else the model could never be rebuilt from the log."""
    world = World(store, data_folder, partitions=1, mode=mode)
    (keys,) = world.partitions
    plain, strange = told(world, store, ROWLESS)

    run(world)
    learner = run(world)  # as after a crash

    assert {fields[b"i"].decode() for _, fields in store.xrange(keys.dead)} == strange
    assert {row["decision_id"] for row in rows_of(world, "decisions")} == plain
    assert learner.training.watched == len(plain)
    assert not learner.figures.rebuild_mismatch
    assert read_books(world.scripts, keys, count_rewards=True) == (0, 0)


@pytest.mark.parametrize("mode", ["wait", "assume", "earliest"])
def test_what_cannot_have_been_drawn_so_is_learnt_and_has_its_row(store, data_folder, mode):
    """Its features and its reward are as good as any: only what is said of the draw is worth nothing."""
    world = World(store, data_folder, partitions=1, mode=mode)
    (keys,) = world.partitions
    plain, strange = told(world, store, ODD)

    run(world)
    plain |= ids(world.decide(1))
    world.move(HORIZON_MS + 1)
    learner = run(world)

    rows = rows_of(world, "decisions")
    assert {row["decision_id"] for row in rows} == plain | strange
    assert all(row["learn"] for row in rows)
    assert store.xlen(keys.dead) == 0
    assert not learner.figures.rebuild_mismatch
    assert read_books(world.scripts, keys, count_rewards=True) == (0, 0)
