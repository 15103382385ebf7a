"""Decisions of several catalogues: each is learnt, and replayed, with the arms that it was made with."""

from __future__ import annotations

import msgspec
import pyarrow.dataset as ds

from policy_learner.loop import drain, step
from policy_learner.models.rebuild_version import rebuild_version
from policy_learner.models.replay import replay
from sidecar.contracts import keys
from sidecar.contracts.application import Arm
from sidecar.contracts.catalogue import Catalogue, encode_arms
from sidecar.contracts.events import DecisionEvent
from sidecar.contracts.live_arms import ArmsChange, changed
from sidecar.policy.held_arms import ArmTables
from sidecar.policy.pipeline import scores_of_event
from sidecar.policy.propensity import pmf_of_event
from sidecar.policy.sampling import draw
from tests.policy_learner.world import CATALOGUE, HORIZON_MS, World

LIVE = changed(
    CATALOGUE,
    ArmsChange(
        put=(Arm("sku-new", {"price": 0.25, "kind": "c"}),),
        merged={"sku-1": {"price": 99.0}},
        retired=("sku-2",),
    ),
)


def made_with(world: World, catalogue: Catalogue) -> DecisionEvent:
    """A decision as a service makes it that serves this catalogue."""
    event = msgspec.structs.replace(world.event(), catalogue=catalogue.version)
    scores = scores_of_event(event, catalogue, world.weights(), ArmTables())
    event = msgspec.structs.replace(event, scores=scores.astype("<f4").tobytes())
    pmf = pmf_of_event(event)
    place = draw(pmf, int(event.seed))
    return msgspec.structs.replace(
        event, arm=catalogue.arms[place].id, arm_index=place, propensity=float(pmf[place])
    )


def test_a_decision_is_replayed_with_the_catalogue_it_was_made_with(store, data_folder):
    """Re-priced, retired and new arms, before and after, mixed; also when the store has forgotten both."""
    world = World(store, data_folder)
    learner = world.learner()
    world.shop(20)
    while step(learner):
        pass
    store.hset(keys.catalogues("world"), LIVE.version, encode_arms(LIVE.arms))
    for n in range(40):
        event = made_with(world, (CATALOGUE, LIVE)[n % 2])
        world.log_decision(event)
        if n % 3 == 0:
            world.reward(event, 1.0 + n % 2)
    world.move(HORIZON_MS + 1)
    drain(learner, lambda: True)
    store.delete(keys.catalogues("world"))

    found = ds.dataset(world.log / "decisions", partitioning="hive").to_table().to_pylist()
    of_live = [row for row in found if row["catalogue"] == LIVE.version]
    assert len(of_live) == 20
    assert {tuple(row["arms"]) for row in of_live} == {("sku-0", "sku-1", "sku-3", "sku-new")}
    result = replay(world.application, world.data)
    assert result.told == []
    assert result.counts["scored"] == 60
    newest = world.weights()
    rebuilt, _ = rebuild_version(world.application, world.data, newest.header.version)
    assert rebuilt.values.tobytes() == newest.values.tobytes()
    for path in world.data.checkpoints("world").glob("*"):
        path.unlink()
    assert world.learner().training.trainer.weights_values().tobytes() == newest.values.tobytes()
