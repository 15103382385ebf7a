"""Calibrator and ECDF in the learner's loop: published, resumed and rebuilt like the weights, bit for bit."""

from __future__ import annotations

from functools import partial

import msgspec
import numpy as np
import pytest
import redis

from policy_learner.errors import BadCheckpoint
from policy_learner.join.catalogues import Catalogues, read_from_store
from policy_learner.learning.training import Training
from policy_learner.learning.vw_learner import VwParams, fit_vw
from policy_learner.loop import drain, step
from policy_learner.models import checkpoint
from policy_learner.models.replay import replay
from sidecar.contracts.events import arms_of
from sidecar.contracts.scripts.decide import decide_call, entry_of, parse_decide
from sidecar.contracts.weights import encode_weights
from sidecar.policy.calibrating import Calibrating
from sidecar.policy.calibration import expected_of, ranks_of
from sidecar.policy.learning import fit_in_sequence, objects_of, rows_at
from sidecar.policy.score_learners import ScoreParams, fit_calibrator, fit_ecdf
from tests.policy_learner.world import CATALOGUE, World


@pytest.fixture
def world(store: redis.Redis, data_folder) -> World:
    return World(store, data_folder, partitions=1)


def run(learner, world, count):
    """Decisions, learnt and published."""
    events = world.shop(count)
    while step(learner):
        pass
    return events


def test_the_record_says_what_scores_mean(world):
    """None while there are too few examples, then two curves, that grow the record by less than 2 KB."""
    learner = world.learner()
    run(learner, world, 40)
    assert world.weights().header.calibration is None
    run(learner, world, 40)
    weights = world.weights()
    assert weights.header.calibration.examples == 64
    plain = msgspec.structs.replace(weights.header, calibration=msgspec.UNSET)
    grown = len(encode_weights(weights)) - len(encode_weights(type(weights)(plain, weights.values)))
    assert 0 < grown < 2048


def test_live_it_is_what_the_learners_fit_on_a_table(world):
    """The curves in the record are those of the sequence VW, calibrator, ECDF over the same decisions."""
    learner = world.learner()
    events = run(learner, world, 64)
    rewards = [0.0 if place % 3 else 1.0 + event.arm_index for place, event in enumerate(events)]
    table = {
        "event": objects_of(events),
        "arms": objects_of([arms_of(event, CATALOGUE) for event in events]),
        "reward": np.array(rewards),
    }
    in_log = sorted(range(64), key=lambda place: events[place].decision_id)
    fitted = fit_in_sequence(
        rows_at(table, in_log),
        partial(fit_vw, params=VwParams(world.application.model)),
        partial(fit_calibrator, params=ScoreParams("expected")),
        partial(fit_ecdf, params=ScoreParams("rank")),
    )
    told, calibration = fitted.predict(table), world.weights().header.calibration
    assert told["expected"].tobytes() == expected_of(told["score"], calibration).tobytes()
    assert told["rank"].tobytes() == ranks_of(told["score"], calibration).tobytes()


def test_a_restart_and_a_replay_come_to_the_same_curves(world):
    """From a checkpoint between two fits, from none at all, and from the log: the published record."""
    learner = world.learner()
    run(learner, world, 100)
    drain(learner, lambda: True)
    run(again := world.learner(), world, 60)
    resumed = world.learner()
    assert not resumed.figures.rebuild_mismatch
    assert resumed.training.calibrating.state() == again.training.calibrating.state()
    run(resumed, world, 10)
    drain(resumed, lambda: True)
    assert world.weights().header.calibration.examples == 128
    result = replay(world.application, world.data)
    assert result.clean, result.told


def test_a_replay_calibrates_again(world):
    """What was logged is compared, to the last bit; what was never asked for is not."""
    learner = world.learner()
    run(learner, world, 70)
    version, weights = world.weights().header.version, world.weights()
    calibration = weights.header.calibration

    def meant(event, nudge=0.0):
        shown = np.frombuffer(event.scores, "<f4")[event.arm_index][None]
        ranks = ranks_of(shown, calibration)
        return {"expected": float(expected_of(shown, calibration)[0]) + nudge, "rank": float(ranks[0])}

    for nudge in (0.0, 0.0, 1e-7):
        event = world.event()
        assert event.model_version == version
        log_again(world, msgspec.structs.replace(event, **meant(event, nudge)))
    run(learner, world, 5)
    drain(learner, lambda: True)
    result = replay(world.application, world.data)
    assert dict(result.mismatches) == {"meaning": 1}


def log_again(world, event):
    """A decision that was made elsewhere."""
    keys = world.partitions[0]
    call = decide_call(keys, [entry_of(event)], max_pending=10**6, tombstone_ms=86_400_000)
    assert parse_decide(world.scripts.run(call))[0].status == "OK"


def test_a_log_of_before_there_was_a_calibration(world, monkeypatch):
    """Its versions come out as they were published; the calibration begins where the first learner with one
    began, in a restart from either side of it and in a replay."""
    with monkeypatch.context() as older:
        older.setattr(Training, "record", lambda self, v, e: self._record(v, e, msgspec.UNSET))
        older.setattr(Calibrating, "state", lambda self: b"")
        learner = world.learner()
        run(learner, world, 30)
        drain(learner, lambda: True)
        run(learner := world.learner(), world, 90)
        run(learner, world, 20)
    assert world.weights().header.calibration is msgspec.UNSET
    first = world.learner()
    assert not first.figures.rebuild_mismatch
    run(first, world, 70)
    assert world.weights().header.calibration.examples == 64
    second = world.learner()
    assert not second.figures.rebuild_mismatch
    assert second.training.calibrating.state() == first.training.calibrating.state()
    run(second, world, 5)
    drain(second, lambda: True)
    result = replay(world.application, world.data)
    assert result.clean, result.told
    assert result.counts["examples"] == 215


def test_a_checkpoint_of_before_is_read(world):
    """It has no such field: the calibration begins there."""
    learner = world.learner()
    run(learner, world, 100)
    drain(learner, lambda: True)
    folder = world.data.checkpoints("world")
    saved = checkpoint.load_latest(folder)
    assert saved.calibration
    fields = msgspec.to_builtins(saved, builtin_types=(bytes,))
    del fields["calibration"]
    old = msgspec.convert(fields, checkpoint.Checkpoint, builtin_types=(bytes,))
    catalogues = Catalogues(read_from_store(world.client, "world", world.log))
    training = Training.of(world.application, catalogues, old)
    assert training.calibrating.seen == 0
    torn = msgspec.structs.replace(saved, calibration=saved.calibration[:-1])
    with pytest.raises(BadCheckpoint, match="calibration"):
        Training.of(world.application, catalogues, torn)
