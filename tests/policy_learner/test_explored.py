"""Segments, every scheme, and what rules answered, through the learner: rows, lessons, replay, evaluation."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
import redis

from policy_learner.loop import drain, step
from policy_learner.models.replay import replay
from policy_learner.settings import LearnerSettings
from sidecar.contracts.application import Exploration
from sidecar.policy.propensity import pmf_of_event
from sidecar.policy.sampling import draw
from sidecar.policy.slots import with_slots
from tests.policy_learner.test_modes import rows
from tests.policy_learner.world import ARMS, HORIZON_MS, World

SEGMENTS = {
    "": Exploration(epsilon=0.3),
    "soft": Exploration("softmax", control_share=0.02, temperature=0.25),
    "gaps": Exploration("squarecb", control_share=0.0, gamma=30.0, floor=0.01),
    "even": Exploration("uniform"),
}
RULED = {
    "source": "pre_policy",
    "policy": "kiosk",
    "rule": "kiosk",
    "learn": False,
    "model_version": 0,
    "cold": False,
    "exploration": Exploration("epsilon_greedy", 0.0, 0.0),
    "inclusion_probability": 0.5,
    "arm_index": 0,
    "propensity": 1.0,
}
IDS = tuple([arm.id for arm in ARMS])


@pytest.fixture(params=["wait", "assume", "earliest"])
def world(request, store: redis.Redis, data_folder) -> World:
    settings = LearnerSettings(publish_every_examples=1, archive_rows=1000)
    return World(store, data_folder, settings=settings, mode=request.param)


def explored(world: World, segment: str):
    """A decision as it is made in a segment."""
    event = msgspec.structs.replace(world.event(), segment=segment, exploration=SEGMENTS[segment])
    pmf = pmf_of_event(event)
    index = draw(pmf, int(event.seed))
    return msgspec.structs.replace(event, arm=IDS[index], arm_index=index, propensity=float(pmf[index]))


def ruled(world: World, slots: int = 1):
    """A decision as a rule answers it, with an order of two arms."""
    arms = IDS[1::-1]
    scores = (-np.arange(2, dtype="<f4")).tobytes()
    return with_slots(world.event(arms=arms, arm=arms[0], scores=scores, **RULED), arms, slots)


def live(world: World, learner, rounds: int = 4):
    made = []
    for _ in range(rounds):
        fresh = [*(explored(world, name) for name in SEGMENTS), ruled(world), ruled(world, slots=2)]
        for event in fresh:
            world.log_decision(event)
        step(learner)
        world.move(HORIZON_MS + 1)
        while step(learner):
            pass
        made += fresh
    drain(learner, lambda: True)
    return made


def test_each_decision_is_logged_as_it_explored_and_replays(world):
    """Whatever its scheme; what a rule answered is a row, and no lesson in any mode."""
    learner = world.learner()
    made = live(world, learner)
    found = {(row["decision_id"], row["slot"]): row for row in rows(world, "decisions")}
    for event in made:
        row = found[event.decision_id, 0]
        assert row["segment"] == (event.segment or None)
        assert row["pmf"] == pmf_of_event(event).tolist()
        assert row["learn"] is not bool(event.rule)
        assert row["deterministic"] is bool(event.rule)
        assert (row["source"], row["inclusion_probability"]) == (event.source, event.inclusion_probability)
    second = [row for row in found.values() if row["slot"] == 1]
    assert {(row["source"], row["propensity"], row["learn"]) for row in second} == {
        ("pre_policy", 1.0, False)
    }
    assert len(second) == 4
    assert learner.training.examples == 4 * len(SEGMENTS)
    result = replay(world.application, world.data)
    assert result.told == []
    assert result.counts["drawn"] == len(found)
