"""Decisions of several slots through the learner: an example and a row for each, learnt again to the bit."""

from __future__ import annotations

from datetime import date

import msgspec
import numpy as np
import pytest
import redis

from offline_eval.evaluate import evaluate
from offline_eval.target_policy import Logged, Uniform, greedy
from policy_learner.archive.chain import dataset_folder
from policy_learner.archive.compaction import Shape, compact_day
from policy_learner.archive.cutting import cut, ends, lanes
from policy_learner.archive.show import find
from policy_learner.loop import drain, step
from policy_learner.models.replay import replay
from policy_learner.settings import LearnerSettings
from sidecar.contracts.events import DecisionEvent, decode_decision, encode_reward_tail
from sidecar.contracts.scripts.reward import RewardEntry, limits_of, parse_reward, reward_call
from sidecar.policy.slots import with_slots
from tests.policy_learner.test_modes import rows
from tests.policy_learner.world import ARMS, HORIZON_MS, World


@pytest.fixture(params=["wait", "assume", "earliest"])
def world(request, store: redis.Redis, data_folder) -> World:
    settings = LearnerSettings(publish_every_examples=1, archive_rows=1000)
    return World(store, data_folder, settings=settings, mode=request.param)


def shown(world: World, count: int, slots: int = 3) -> list[DecisionEvent]:
    events = [with_slots(world.event(), tuple(arm.id for arm in ARMS), slots) for _ in range(count)]
    for event in events:
        world.log_decision(event)
    return events


def reward(world: World, event: DecisionEvent, arm: str, value: float, key: str) -> None:
    entry = RewardEntry(event.decision_id, key, encode_reward_tail(value, 0, "purchase", arm))
    call = reward_call(world.keys_of(event), [entry], limits_of(world.application.reward, 10**6))
    assert parse_reward(world.scripts.run(call))[0].status == "OK"


def live(world: World, learner, rounds: int = 4) -> list[DecisionEvent]:
    """Decisions of one and of three slots, rewards to some of them, in several versions."""
    events = []
    for _ in range(rounds):
        some = shown(world, 3)
        world.decide(2)
        reward(world, some[0], some[0].slots[1].arm, 2.0, "third")
        step(learner)
        reward(world, some[0], some[0].arm, 1.0, "first")
        reward(world, some[1], "", 0.5, "unnamed")
        world.move(HORIZON_MS + 1)
        while step(learner):
            pass
        events += some
    return events


def test_each_slot_is_an_example_and_a_row(world):
    """Their rewards their own; the rows as the events of the slots say; nothing differs at the replay."""
    learner = world.learner()
    events = live(world, learner)
    drain(learner, lambda: True)

    found = {(row["decision_id"], row["slot"]): row for row in rows(world, "decisions")}
    assert len(found) == 4 * (3 * 3 + 2)
    for place, event in enumerate(events):
        mine = [found[event.decision_id, slot] for slot in range(3)]
        assert [row["arm"] for row in mine] == [event.arm, *(slot.arm for slot in event.slots)]
        assert [row["propensity"] for row in mine] == [
            event.propensity,
            *(slot.propensity for slot in event.slots),
        ]
        assert [row["n_arms"] for row in mine] == [4, 3, 2]
        assert [len(row["pmf"]) for row in mine] == [4, 3, 2]
        assert [row["reward"] for row in mine] == [[1.0, 0.0, 2.0], [0.5, 0.0, 0.0], [0.0] * 3][place % 3]
        assert all(row["learn"] for row in mine)
        assert all(np.isclose(sum(row["pmf"]), 1.0) for row in mine)
        assert decode_decision(mine[0]["event"]) == event
    result = replay(world.application, world.data)
    assert result.told == []
    assert result.counts["drawn"] == len(found)


def test_what_was_learnt_is_learnt_again_after_a_restart(world):
    """From the store's entries and from the log's rows: the published weights, bit for bit."""
    learner = world.learner()
    live(world, learner, rounds=2)
    drain(learner, lambda: True)
    version, examples = learner.progress.version, learner.training.examples
    for path in world.data.checkpoints("world").glob("*"):
        path.unlink()
    again = world.learner()
    assert (again.progress.version, again.training.examples) == (version, examples)
    expected = world.weights().values
    assert again.training.trainer.weights_values().tobytes() == expected.tobytes()
    live(world, again, rounds=1)
    drain(again, lambda: True)
    assert replay(world.application, world.data).clean


def test_a_decision_is_shown_with_its_slots(world):
    """`sidearm show`: the first slot's row, and the others beside it."""
    learner = world.learner()
    event = live(world, learner, rounds=1)[0]
    drain(learner, lambda: True)
    logged = find(world.log, world.application, event.decision_id)
    assert (logged.row["arm"], logged.event) == (event.arm, event)
    assert [slot["arm"] for slot in logged.slots] == [slot.arm for slot in event.slots]


def test_slots_stay_together_however_the_log_is_cut(world):
    """Compacted into row groups of two, cut into stretches of two: each decision is learnt once, whole."""
    learner = world.learner()
    live(world, learner, rounds=2)
    drain(learner, lambda: True)
    folder = dataset_folder(world.log, "decisions", "world")
    for day in sorted(path.name.removeprefix("dt=") for path in folder.glob("dt=*")):
        compact_day(folder, "decisions", day, _ms_after(day), shape=Shape(group_rows=2))

    assert replay(world.application, world.data).told == []
    found = lanes(world.log, "world", ("0-0", "0-0"), ends(world.log, "world", 2))
    stretches = [stretch.batch for stretch in cut(found, 2)]
    positions = [(batch.partition, end) for batch in stretches for end in {batch.first, batch.last}]
    assert len(set(positions)) == len(positions)


def _ms_after(day: str) -> int:
    return (date.fromisoformat(day).toordinal() - date(1970, 1, 1).toordinal() + 3) * 86_400_000


def test_estimates_take_every_slot_for_a_decision(world):
    """As many rows as slots, none a repeat; what the logger earned is the mean over them."""
    learner = world.learner()
    live(world, learner)
    drain(learner, lambda: True)
    weights = world.weights()
    result = evaluate(world.log, [Logged(), Uniform(), greedy(weights)])
    found = rows(world, "decisions")

    logged, uniform, best = result.candidates
    assert logged.rows == uniform.rows == best.rows == len(found)
    assert np.isclose(logged.on_policy.value.value, np.mean([row["reward"] for row in found]))
    assert logged.rejected == {}
    weights_by_hand = np.array([1 / len(row["arms"]) / row["propensity"] for row in found])
    assert np.isclose(uniform.max_weight, weights_by_hand.max())
    assert np.isclose(uniform.effective_rows, weights_by_hand.sum() ** 2 / (weights_by_hand**2).sum())


def test_one_slot_that_is_poison_takes_no_other_along(store, data_folder):
    """It alone is not learnt; so says its row, and whoever starts again learns the same."""
    settings = LearnerSettings(publish_every_examples=1, archive_rows=1000)
    world = World(store, data_folder, settings=settings)
    learner = world.learner()
    (event,) = shown(world, 1)
    reward(world, event, event.slots[1].arm, 1e12, "beyond")
    world.decide(1)
    world.move(HORIZON_MS + 1)
    while step(learner):
        pass
    drain(learner, lambda: True)

    learnt = {
        row["slot"]: row["learn"]
        for row in rows(world, "decisions")
        if row["decision_id"] == event.decision_id
    }
    assert learnt == {0: True, 1: True, 2: False}
    assert learner.training.examples == 3
    for path in world.data.checkpoints("world").glob("*"):
        path.unlink()
    again = world.learner()
    assert again.training.trainer.weights_values().tobytes() == world.weights().values.tobytes()
    assert replay(world.application, world.data).clean


def test_slots_that_are_no_arms_stop_nobody(store, data_folder):
    """Foreign bytes lie with the dead letters; the decisions beside them are learnt."""
    world = World(store, data_folder, settings=LearnerSettings(publish_every_examples=1, archive_rows=1000))
    learner = world.learner()
    (event,) = [with_slots(world.event(), tuple(arm.id for arm in ARMS), 2)]
    world.log_decision(msgspec.structs.replace(event, arms=event.arms[:1]))
    world.decide(2)
    world.move(HORIZON_MS + 1)
    while step(learner):
        pass
    assert learner.training.examples == 2
    assert sum(store.xlen(keys.dead) for keys in world.partitions) == 1
