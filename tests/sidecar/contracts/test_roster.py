"""The roster of models: what may stand in it, and that a change is made in one step, from what was seen."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.contracts import keys
from sidecar.contracts.application import Exploration
from sidecar.contracts.errors import BadModel
from sidecar.contracts.roster import FIRST_ROSTER, Model, Roster, encode_models, versions_in
from sidecar.contracts.roster_changes import promoted, with_model, without_model
from sidecar.contracts.roster_check import checked_roster, decode_roster
from sidecar.contracts.rostering import change_roster, read_roster
from sidecar.contracts.scripts.roster import RosterStatus, parse_roster, roster_call
from sidecar.contracts.store import Scripts

APP = "shop"


@pytest.fixture
def scripts(store):
    return Scripts.on(store)


def deploying(name, role="shadow", **fields):
    return lambda roster: with_model(roster, Model(name=name, role=role, **fields))


def test_an_application_nobody_deployed_to_has_one_live_champion(store):
    assert read_roster(store, APP) == FIRST_ROSTER
    assert (FIRST_ROSTER.champion.name, FIRST_ROSTER.champion.version) == ("champion", 0)


def test_a_change_is_there_with_its_records_and_a_notice(store, scripts):
    """A fixed version is copied: thinning the history cannot take it from who serves it."""
    store.hset(keys.model_records(APP), "7", b"a record")
    first = change_roster(scripts, APP, deploying("bold", "challenger", version=7, share=0.2), "deploy bold")
    store.delete(keys.model_records(APP))
    second = change_roster(scripts, APP, deploying("old", version=7), "deploy old", evidence=b'{"low": 1}')
    assert [one.name for one in second.models] == ["champion", "bold", "old"]
    assert (first.revision, second.revision, read_roster(store, APP)) == (1, 2, second)
    assert store.hgetall(keys.deployed(APP)) == {b"7": b"a record"}
    _, notice = store.xrevrange(keys.model_notices(APP), count=1)[0]
    assert (notice[b"roster"], notice[b"what"], notice[b"evidence"]) == (b"2", b"deploy old", b'{"low": 1}')


def test_a_record_goes_with_the_last_model_that_scores_with_it(store, scripts):
    store.hset(keys.model_records(APP), "7", b"a record")
    for name in ("one", "two"):
        change_roster(scripts, APP, deploying(name, version=7), "deploy")
    change_roster(scripts, APP, lambda roster: without_model(roster, "one"), "undeploy")
    assert store.hexists(keys.deployed(APP), "7")
    change_roster(scripts, APP, lambda roster: without_model(roster, "two"), "undeploy")
    assert not store.exists(keys.deployed(APP))


def test_a_change_of_a_roster_that_is_not_there_any_more_changes_nothing(store, scripts):
    stale = with_model(read_roster(store, APP), Model(name="a", role="shadow"))
    change_roster(scripts, APP, deploying("b"), "deploy b")
    before = store.hgetall(keys.roster(APP))
    assert parse_roster(scripts.run(roster_call(APP, stale, "too late"))).status is RosterStatus.STALE
    assert store.hgetall(keys.roster(APP)) == before


def test_a_change_that_was_overtaken_is_worked_out_again(store, scripts):
    seen = []

    def overtaken(roster):
        seen.append(roster.revision)
        if len(seen) == 1:
            change_roster(scripts, APP, deploying("fast"), "deploy fast")
        return deploying("slow")(roster)

    assert len(change_roster(scripts, APP, overtaken, "deploy slow").models) == 3
    assert seen == [0, 1]


def test_a_learner_that_was_replaced_changes_nothing(store, scripts):
    store.set(keys.epoch(APP), 5)
    with pytest.raises(BadModel, match="took over"):
        change_roster(scripts, APP, deploying("a"), "deploy", epoch=4)
    assert change_roster(scripts, APP, deploying("a"), "deploy", epoch=5).revision == 1


def test_a_version_that_nobody_kept_is_refused(store, scripts):
    with pytest.raises(BadModel, match="not all of these versions are kept: i2"):
        change_roster(scripts, APP, deploying("a", version=10**12 + 2), "deploy")
    assert read_roster(store, APP) == FIRST_ROSTER


def test_the_champion_before_stays_as_a_challenger_without_a_share():
    roster = with_model(FIRST_ROSTER, Model(name="bold", role="challenger", version=3, share=0.4, priority=2))
    after = promoted(roster, "bold")
    assert after.champion == Model(name="bold", role="champion", version=3, priority=2)
    assert after.named("champion") == Model(name="champion", role="challenger")
    assert promoted(after, "champion").champion.name == "champion"


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (Model(name="a", role="shadow", share=0.1), "has no share"),
        (Model(name="backstop", role="shadow"), "another name"),
        (Model(name="A", role="shadow"), "legal is a letter from a to z"),
        (Model(name="a", role="king"), "role is 'king': legal is"),
        (Model(name="a", role="challenger", share=-0.1), "share is -0.1: legal is 0 to 1"),
        (Model(name="a", role="shadow", container="../x"), "container is '../x': legal is a letter"),
        (Model(name="a", role="canary"), "needs a version"),
        (Model(name="a", role="challenger", share=0.7), "add up to 1.3"),
        (Model(name="a", role="shadow", exploration=Exploration("logged")), "imports only"),
    ],
)
def test_what_cannot_be_served_is_refused(model, said):
    roster = with_model(FIRST_ROSTER, Model(name="other", role="challenger", share=0.6))
    with pytest.raises(BadModel, match=said):
        with_model(roster, model)


def test_there_is_always_one_champion():
    with pytest.raises(BadModel, match="promote another"):
        without_model(FIRST_ROSTER, "champion")
    with pytest.raises(BadModel, match="0 champions"):
        checked_roster(Roster((Model(name="a", role="shadow"),)))
    with pytest.raises(BadModel, match="no model is called 'x'; there are: champion"):
        promoted(FIRST_ROSTER, "x")
    with pytest.raises(BadModel, match="decoy"):
        promoted(with_model(FIRST_ROSTER, Model(name="d", role="decoy")), "d")


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 3), st.floats(0, 0.25)), max_size=8))
def test_any_roster_comes_back_as_it_was_stored(models):
    roster = FIRST_ROSTER
    for name, version, share in models:
        role, explores = "challenger", Exploration(epsilon=share)
        roster = with_model(
            roster, Model(name=name, role=role, version=version, share=share, exploration=explores)
        )
    assert decode_roster({b"models": encode_models(roster), b"revision": b"4"}) == Roster(roster.models, 4)
    assert versions_in(roster) == tuple(sorted({one.version for one in roster.models} - {0}))


@pytest.mark.parametrize(
    "stored",
    [
        {b"models": b"[]", b"revision": b"1"},
        {b"models": b"{", b"revision": b"1"},
        {b"models": encode_models(FIRST_ROSTER), b"revision": b"x"},
        {b"revision": b"1"},
        {b"models": msgspec.json.encode([{"name": "A", "role": "champion"}]), b"revision": b"1"},
    ],
)
def test_foreign_bytes_are_no_roster(stored):
    with pytest.raises(BadModel):
        decode_roster(stored)
