"""Decisions that several models could have answered: learnt, archived, and replayed bit for bit."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from policy_learner.join.catalogues import Catalogues, read_from_log
from policy_learner.loop import drain
from policy_learner.models.model_shelf import read_model
from policy_learner.models.replay import Index, Replayed, rebuilt, replay
from sidecar.contracts.events import Candidate
from sidecar.contracts.models import foreign
from sidecar.policy.held_arms import ArmTables
from sidecar.policy.pipeline import scores_of_event
from sidecar.policy.propensity import pmf_of_event
from sidecar.policy.sampling import draw
from tests.policy_learner.kept_shop import Shop
from tests.policy_learner.world import CATALOGUE, EXPLORATION


class Mixed(Shop):
    """Half of the traffic goes to what the learner publishes, half to another model, as it is drawn."""

    other, number = None, 0
    """Its weights, once there are some, and its version in the log."""

    def event(self, **changes):
        """The official one is first in the log; here each in turn."""
        alone = super().event(**changes)
        if self.other is None:
            return alone
        live = Candidate("champion", alone.model_version, 0.5, EXPLORATION, alone.scores)
        scores = scores_of_event(alone, CATALOGUE, self.other, ArmTables()).tobytes()
        bold = Candidate("bold", self.number, 0.5, EXPLORATION, scores)
        first, second = (live, bold) if int(alone.seed) % 2 else (bold, live)
        mixed = msgspec.structs.replace(
            alone,
            policy=first.policy,
            model_version=first.model_version,
            scores=first.scores,
            official_probability=first.probability,
            candidates=(second,),
        )
        pmf = pmf_of_event(mixed)
        place = draw(pmf, int(mixed.seed))
        arm = CATALOGUE.arms[place].id
        return msgspec.structs.replace(mixed, arm=arm, arm_index=place, propensity=float(pmf[place]))


@pytest.mark.parametrize("is_foreign", [False, True])
def test_a_log_of_mixtures_replays_bit_for_bit(store, data_folder, tmp_path, is_foreign):
    """Whoever was official: a version of ours is scored again, another container's is drawn again."""
    world = Mixed(store, data_folder, tmp_path / "app")
    learner = world.learner()
    version = world.learn(learner)
    world.other = read_model(world.client, "world", version)[0]
    world.number = foreign(3) if is_foreign else version
    for _ in range(3):
        world.learn(learner, 40)
    drain(learner, lambda: True)
    result = replay(world.application, world.data)
    assert result.clean, result.told
    assert result.counts["decisions"] == result.counts["drawn"] == 130
    scored, skipped = result.counts["scored"], result.counts["foreign"]
    assert scored + skipped == 130
    assert (40 < skipped < 80) == is_foreign


def test_an_archived_row_and_the_archived_weights_give_the_propensity_again(
    store, store_url, data_folder, tmp_path
):
    """All models of every row scored again from the rebuilt weights: the row's pmf, to the last bit."""
    world = Mixed(store, data_folder, tmp_path / "app")
    learner = world.learner()
    version = world.learn(learner)
    world.other, world.number = read_model(world.client, "world", version)[0], version
    for _ in range(2):
        world.learn(learner, 20)
    drain(learner, lambda: True)
    log = world.data.log("world")
    catalogues = Catalogues(read_from_log(log))
    weights = dict(rebuilt(world.application, log, catalogues, Replayed())) | {0: None}
    index = Index(log, world.application)
    mixed = 0
    for row in [row for one in index.versions for rows in index.rows(one) for row in rows]:
        event = row.event
        again = scored_again(event, weights, catalogues.get(event.catalogue))
        pmf = pmf_of_event(again)
        assert pmf.tobytes() == np.array(row.pmf).tobytes() == pmf_of_event(event).tobytes()
        assert (float(pmf[row.arm_index]), again) == (row.propensity, event)
        mixed += bool(event.candidates)
    assert mixed >= 40
    shown = world.run("show", event.decision_id, url=store_url).output
    assert shown.count("chance 0.5 prefers") == 2
    assert "model bold" in shown


def scored_again(event, weights, catalogue):
    """The event with the scores that each of its models gives it now."""

    def scores(version):
        return scores_of_event(event, catalogue, weights[version], ArmTables()).tobytes()

    candidates = tuple(
        msgspec.structs.replace(one, scores=scores(one.model_version)) for one in event.candidates
    )
    return msgspec.structs.replace(event, scores=scores(event.model_version), candidates=candidates)


def test_the_propensity_is_that_of_both(store, data_folder, tmp_path):
    world = Mixed(store, data_folder, tmp_path / "app")
    version = world.learn(world.learner())
    world.other, world.number = read_model(world.client, "world", version)[0], version
    world.learn(world.learner())
    event = world.event()
    whole = pmf_of_event(event)
    halves = [
        pmf_of_event(msgspec.structs.replace(event, scores=scores, official_probability=1.0, candidates=()))
        for scores in (event.scores, event.candidates[0].scores)
    ]
    assert whole == pytest.approx(np.mean(halves, axis=0))
