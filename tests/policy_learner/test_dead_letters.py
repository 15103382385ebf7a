"""What could not be decoded or learnt, and that nothing of it is lost or stops the learner."""

from __future__ import annotations

import msgpack
import pyarrow.dataset as ds
import pytest

from policy_learner.loop import drain, finalise, step
from policy_learner.models.replay import replay
from sidecar.contracts import keys as app_keys
from sidecar.contracts.events import encode_decision
from tests.policy_learner.world import HORIZON_MS, World


@pytest.fixture
def world(store, data_folder):
    return World(store, data_folder, partitions=1)


def test_what_cannot_be_learnt_is_kept_though_a_later_entry_cannot_be_decoded(world, store):
    """Both were read at once; the dead letters lie in the order of their positions."""
    (keys,) = world.partitions
    learner = world.learner()
    world.decide(propensity=2.0)
    world.move(HORIZON_MS + 1)
    finalise(learner)
    foreign = store.xadd(keys.examples, {"foreign": "bytes"})
    step(learner)
    poison, _ = store.xrange(keys.examples)[0]
    assert [position for position, _ in store.xrange(keys.dead)] == [poison, foreign]


@pytest.mark.parametrize(
    "flat",
    [
        ["a", "1|1e308|0||", "b", "2|1e308|0||"],
        ["a", "1|inf|0||", "b", "2|-inf|0||"],
        [1, "1|1.0|0||", "b", "1|1.0|0||"],
    ],
    ids=["sum beyond all numbers", "infinities", "keys of two types"],
)
def test_rewards_that_have_no_sum_do_not_stop_the_learner(world, store, flat):
    """The decision goes to the dead letters; the ones beside it are learnt."""
    (keys,) = world.partitions
    learner = world.learner()
    payload = encode_decision(world.event())
    fields = {"k": "F", "i": "x", "d": payload, "r": msgpack.packb(flat)}
    store.xadd(keys.examples, fields, id="1-1")
    world.shop(5)
    for _ in range(3):
        step(learner)
    assert store.xlen(keys.dead) == 1
    assert world.weights().header.examples == 5
    drain(learner, lambda: True)
    rows = ds.dataset(world.log / "decisions", partitioning="hive").to_table().to_pylist()
    assert [row["reward"] for row in rows if not row["learn"]] == [None] * (len(rows) - 5)
    assert replay(world.application, world.data).clean


def test_foreign_bytes_in_the_version_log_stop_neither_learner_nor_restart(world, store):
    """They are passed over, as in the example streams."""
    learner = world.learner()
    world.shop(5)
    step(learner)
    store.xadd(app_keys.weights_log("world"), {"foreign": "bytes"})
    again = world.learner()
    assert again.training.examples == learner.training.examples > 0
    drain(again, lambda: True)
