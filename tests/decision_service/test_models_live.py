"""A hundred models side by side: the real store, sidecar and service; deployed and undeployed live."""

from __future__ import annotations

import time

import numpy as np
import pytest

from sidecar.contracts import keys
from sidecar.contracts.application import Exploration
from sidecar.contracts.catalogue import catalogue_of, decode_arms
from sidecar.contracts.events import decode_decision
from sidecar.contracts.ids import partition_of_session
from sidecar.contracts.inputs import decode_inputs
from sidecar.contracts.keys import Keys
from sidecar.contracts.roster import Model
from sidecar.contracts.roster_changes import with_model, without_model
from sidecar.contracts.rostering import change_roster
from sidecar.contracts.scripts.decide import split_stored
from sidecar.contracts.store import Scripts
from sidecar.contracts.weights import WeightsHeader, encode_weights, weights_of
from sidecar.contracts.wire import ScoreRequest
from sidecar.policy.held_arms import ArmTables
from sidecar.policy.pipeline import score, scores_of_event
from sidecar.policy.propensity import pmf_of_event
from sidecar.policy.sampling import draw
from tests.decision_service.platform import platform
from tests.waiting import until

APP = "bench"
CONTEXT = {"device": "ios", "hour": 21.0}
HUNDRED = range(1, 101)


def weights(version):
    header = WeightsHeader(
        version=version, bits=12, interactions=("ca",), positions=("0-0", "0-0"), trained_until_ms=1,
        epoch=1, examples=9,
    )  # fmt: skip
    return weights_of(header, np.random.default_rng(version).normal(size=1 << 12).astype(np.float32))


@pytest.fixture(scope="module")
def shop():
    with platform() as started:
        yield started


@pytest.fixture
def scripts(shop):
    """On a store that keeps a hundred versions; in the end one model is left."""
    kept = {str(version): encode_weights(weights(version)) for version in HUNDRED}
    shop.store.hset(keys.model_records(APP), mapping=kept)
    yield Scripts.on(shop.store)
    shop.store.delete(keys.roster(APP), keys.deployed(APP))
    change_roster(Scripts.on(shop.store), APP, lambda roster: roster, "as it was")
    until(lambda: decided(shop).candidates == () and decided(shop).shadows == ())


def decided(shop, **fields):
    """A decision as it is stored."""
    answer = shop.recommend(context=CONTEXT, **fields).raise_for_status().json()
    partition = partition_of_session("s-42", 2)
    stored = shop.store.get(Keys(APP, partition).decision(answer["decision_id"]))
    return decode_decision(split_stored(stored).payload)


def deploy(scripts, *models):
    def change(roster):
        for model in models:
            roster = with_model(roster, model)
        return roster

    return change_roster(scripts, APP, change, "deploy")


def catalogue_of_event(shop, event):
    return catalogue_of(decode_arms(shop.store.hget(keys.catalogues(APP), event.catalogue)))


def test_a_hundred_models_score_every_decision(shop, scripts):
    """Each model's logged scores are what its weights say alone; the pmf is the mixture, to the last bit."""
    challengers = [Model(name=f"c{v}", role="challenger", version=v, share=0.2) for v in (1, 2, 3)]
    shadows = [Model(name=f"s{v}", role="shadow", version=v) for v in HUNDRED if v > 3]
    deploy(scripts, *challengers, *shadows)
    until(lambda: len(decided(shop).shadows) == 97)
    for number in range(20):
        event = decided(shop, session_id="s-42", decision_id=f"k{number}")
        official = {event.policy: event.official_probability}
        chances = official | {one.policy: one.probability for one in event.candidates}
        assert chances == pytest.approx({"champion": 0.4, "c1": 0.2, "c2": 0.2, "c3": 0.2})
        assert not event.missing
        pmf = pmf_of_event(event)
        assert (draw(pmf, int(event.seed)), pmf[event.arm_index]) == (event.arm_index, event.propensity)
        catalogue, tables = catalogue_of_event(shop, event), ArmTables()
        shown = shop.decision(event.decision_id)["models"]
        assert [one["model"] for one in shown[:4]] == [
            event.policy,
            *[one.policy for one in event.candidates],
        ]
        assert (len(shown), shown[4]["chance"]) == (101, 0.0)
        logged = [(one.model_version, one.scores) for one in (event, *event.candidates, *event.shadows)]
        for version, scores in logged:
            alone = scores_of_event(event, catalogue, weights(version) if version else None, tables)
            assert scores == alone.tobytes()


def test_a_model_is_heard_within_a_second_and_gone_within_one(shop, scripts):
    """The best of three, for the machine may be busy."""
    heard_s, gone_s = [], []
    for _ in range(3):
        deploy(scripts, Model(name="new", role="shadow", version=5))
        heard_s.append(seconds_until(lambda: [one.policy for one in decided(shop).shadows] == ["new"]))
        change_roster(scripts, APP, lambda roster: without_model(roster, "new"), "undeploy")
        gone_s.append(seconds_until(lambda: decided(shop).shadows == ()))
    assert min(heard_s) < 1.0
    assert min(gone_s) < 1.0


def test_a_model_that_the_sidecar_cannot_load_is_missing_and_harms_nobody(shop, scripts):
    shop.store.hset(keys.model_records(APP), "77", b"no record")
    deploy(scripts, Model(name="broken", role="challenger", version=77, share=0.5))
    until(lambda: decided(shop).missing == ("broken",))
    event = decided(shop)
    assert (event.policy, event.official_probability, event.source) == ("champion", 1.0, "model")


def test_a_silent_champion_is_stood_in_for_by_the_highest_priority(shop, scripts):
    """And where nobody answers, by the backstop."""
    shop.store.hset(keys.model_records(APP), "77", b"no record")
    deploy(
        scripts,
        Model(name="broken", role="champion", version=77),
        Model(name="low", role="challenger", version=1, priority=1),
        Model(name="high", role="challenger", version=2, priority=2),
    )
    until(lambda: decided(shop).policy == "high")
    event = decided(shop)
    assert (event.candidates, event.missing) == ((), ("broken",))
    assert [one.policy for one in event.shadows] == ["champion", "low"]


def test_an_archived_input_scored_again_gives_the_logged_scores(shop, scripts):
    """A decoy keeps what models are given, exactly."""
    deploy(scripts, Model(name="duck", role="decoy", share=1.0), Model(name="s", role="shadow", version=4))
    until(lambda: decided(shop).shadows)
    events = {event.decision_id: event for event in (decided(shop) for _ in range(5))}
    folder, tables = shop.data.inputs(APP, "duck"), ArmTables()
    found = {}

    def all_are_there():
        files = [file.read_bytes() for file in folder.glob("*.inputs")]
        found.update({one.decision_id: one for data in files for one in decode_inputs(data)})
        return found.keys() >= events.keys()

    until(all_are_there)
    for decision_id, event in events.items():
        tables.of(catalogue_of_event(shop, event))
        given = ScoreRequest((found[decision_id].row,), (Exploration(),), found[decision_id].catalogue)
        assert score(given, weights(4), tables).rows[0].scores == event.shadows[0].scores


def test_figures_name_the_models(shop, scripts):
    """Who was official, and who was missing."""
    shop.store.hset(keys.model_records(APP), "77", b"no record")
    models = Model(name="a", role="champion", version=1), Model(name="gone", role="shadow", version=77)
    deploy(scripts, *models)
    until(lambda: decided(shop).missing == ("gone",))
    figures = shop.client.get("/metrics").text
    assert 'sidearm_official_total{model="a"}' in figures
    assert 'sidearm_models_missing_total{model="gone"}' in figures


def seconds_until(is_so):
    started = time.monotonic()
    until(is_so)
    return time.monotonic() - started
