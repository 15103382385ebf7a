"""Contests on the real store, beside the learner's other work: counted once, fenced, and acted on."""

from __future__ import annotations

import itertools
import json
from contextlib import suppress

import msgspec
import numpy as np
import pytest
from typer.testing import CliRunner

from policy_learner import failpoints
from policy_learner.errors import Fenced
from policy_learner.join.source import Chunk
from policy_learner.loop import drain, step
from policy_learner.models.model_commands import app
from policy_learner.settings import LearnerSettings
from sidecar.contracts import keys as app_keys
from sidecar.contracts.contests import decode_promotion, decode_shown
from sidecar.contracts.events import Candidate
from sidecar.contracts.promotion import PromotionConfig
from sidecar.contracts.roster import Model, Roster
from sidecar.contracts.roster_changes import with_model, without_model
from sidecar.contracts.rostering import change_roster, read_roster
from sidecar.policy.exploration import pmf_of
from sidecar.policy.sampling import draw
from tests.policy_learner.world import EXPLORATION, HORIZON_MS, World

SETTINGS = LearnerSettings(archive_rows=100_000)
GOOD, BAD = np.float32([0.1, 0.2, 0.3, 0.9]), np.float32([0.9, 0.3, 0.2, 0.1])
SHARE, BOUGHT = 0.3, (0.1, 0.1, 0.1, 0.7)


class Dead(Exception):
    """As if killed."""


@pytest.fixture
def world(store, data_folder) -> World:
    return promoting(World(store, data_folder, settings=SETTINGS))


def promoting(world: World) -> World:
    """By itself, after a handful of decisions."""
    promotion = PromotionConfig(automatic=True, least_effective=30)
    world.application = msgspec.structs.replace(world.application, promotion=promotion)
    return world


@pytest.fixture(autouse=True)
def disarmed():
    yield
    failpoints.arm(None)


def deploy(world, **more) -> Roster:
    """A challenger without a difference but its name."""
    other = Model(name="other", role="challenger", share=SHARE, **more)
    return change_roster(world.scripts, "world", lambda roster: with_model(roster, other), "deployed")


def traffic(world, count, champion="champion", bought=BOUGHT, mature=True):
    """Decisions by both models, and with which chance each arm is bought; mature: their horizon ends."""
    other = {"champion": "other", "other": "champion"}[champion]
    scores = {"champion": BAD, "other": GOOD}
    pmf = (1 - SHARE) * pmf_of(scores[champion], EXPLORATION) + SHARE * pmf_of(scores[other], EXPLORATION)
    rng = np.random.default_rng(count)
    for _ in range(count):
        event = world.event()
        place = draw(pmf, int(event.seed))
        event = msgspec.structs.replace(
            event,
            policy=champion,
            scores=scores[champion].tobytes(),
            arm=f"sku-{place}",
            arm_index=place,
            propensity=float(pmf[place]),
            official_probability=1 - SHARE,
            candidates=(Candidate(other, 1, SHARE, EXPLORATION, scores[other].tobytes()),),
        )
        world.log_decision(event)
        if rng.random() < bought[place]:
            world.reward(event, 1.0)
    if mature:
        world.move(HORIZON_MS + 1)


def rest(world, learner):
    """Steps until nothing is left, and the next look at the contests."""
    while step(learner):
        pass
    world.now_s += 60.0
    step(learner)


def shown(world):
    return decode_shown(world.client.hget(app_keys.contests("world"), "shown"))


def promotions(world):
    notices = world.client.xrange(app_keys.model_notices("world"))
    found = (decode_promotion(fields) for _, fields in notices)
    return [one for one in found if one is not None]


def test_a_better_challenger_becomes_the_champion_and_the_evidence_is_an_event(world):
    """Decisions and rewards through the store; the roster changes, and the notice says why."""
    deploy(world)
    learner = world.learner()
    traffic(world, 400)
    rest(world, learner)

    roster = read_roster(world.client, "world")
    assert roster.champion.name == "other"
    assert (roster.named("champion").role, roster.named("champion").share) == ("challenger", SHARE)
    (promotion,) = promotions(world)
    assert (promotion.kind, promotion.champion, promotion.predecessor) == ("promoted", "other", "champion")
    assert 0.0 < promotion.contest.lower < promotion.contest.difference < promotion.contest.upper
    assert promotion.contest.decisions == 400
    what = world.client.hget(app_keys.roster("world"), "what").decode()
    assert what.startswith("other promoted in place of champion: earns")


def test_when_the_world_turns_the_former_champion_comes_back(world):
    """The same rule, with the roles changed, and it is called what it is."""
    deploy(world)
    learner = world.learner()
    traffic(world, 400)
    rest(world, learner)
    for _ in range(10):
        traffic(world, 100, champion="other", bought=BOUGHT[::-1])
        rest(world, learner)
        if read_roster(world.client, "world").champion.name == "champion":
            break
    kinds = [(one.kind, one.champion) for one in promotions(world)]
    assert kinds == [("promoted", "other"), ("rolled back", "champion")]


def test_every_model_is_shown_with_auc_and_reward(world):
    """What ``GET /v1/models`` tells of each."""
    deploy(world)
    learner = world.learner()
    traffic(world, 120)
    rest(world, learner)
    models = {one.name: one.progressive for one in shown(world).models}
    assert set(models) == {"champion", "other"}
    assert models["champion"].auc < 0.5 < models["other"].auc
    assert models["other"].snips > models["champion"].snips
    json.loads(world.client.hget(app_keys.contests("world"), "shown"))


def test_what_is_not_automatic_is_only_said(world):
    """The verdict is there, and the champion too."""
    world.application = msgspec.structs.replace(
        world.application, promotion=PromotionConfig(least_effective=30)
    )
    deploy(world)
    learner = world.learner()
    traffic(world, 400)
    rest(world, learner)
    assert [one.verdict for one in shown(world).contests] == ["better"]
    assert not shown(world).automatic
    assert read_roster(world.client, "world").champion.name == "champion"


@pytest.mark.parametrize("moment", ["learnt", "published", "contests written"])
def test_every_decision_counts_once_wherever_the_learner_dies(world, moment):
    """Killed before and after what is known is written down, with and without a version in between."""
    deploy(world)
    rest(world, world.learner())
    logged = 0
    for nth in range(1, 4):
        failpoints.arm(dying_at(moment, nth))
        logged += until_dead(world, world.learner())
        failpoints.arm(None)
    rest(world, world.learner())
    assert [one.decisions for one in shown(world).contests] == [logged]


def dying_at(moment, nth):
    """The n-th time."""
    times = itertools.count(1)

    def die(reached):
        if reached == moment and next(times) == nth:
            raise Dead

    return die


def until_dead(world, learner):
    """Decisions of both models until the learner dies; how many."""
    for logged in range(20, 200, 20):
        traffic(world, 20)
        try:
            rest(world, learner)
        except Dead:
            return logged
    raise AssertionError("it does not die")


def test_who_dies_between_promotion_and_the_next_look_does_not_promote_twice(world):
    """The roster is the truth: the contest that was won is over."""
    deploy(world)
    learner = world.learner()
    traffic(world, 400)

    def die(reached):
        if reached == "promoted":
            raise Dead

    failpoints.arm(die)
    with pytest.raises(Dead):
        rest(world, learner)
    failpoints.arm(None)
    learner = world.learner()
    rest(world, learner)
    assert len(promotions(world)) == 1
    assert shown(world).contests == ()
    assert shown(world).promotions == tuple(promotions(world))
    traffic(world, 40, champion="other")
    rest(world, learner)
    assert [(one.champion, one.challenger, one.decisions) for one in shown(world).contests] == [
        ("other", "champion", 40)
    ]


@pytest.mark.parametrize("mode", ["wait", "assume", "earliest"])
def test_only_what_is_finalised_counts_and_nothing_twice(store, data_folder, mode):
    """Purchases come early, and nothing else ever does: whoever counted decisions by their first reward would
    hold every model for a miracle, and the one that answers most for the greatest."""
    world = promoting(World(store, data_folder, settings=SETTINGS, mode=mode))
    deploy(world)
    learner = world.learner()
    traffic(world, 120, mature=False)
    rest(world, learner)
    assert shown(world).contests == ()
    assert shown(world).models == ()
    world.move(HORIZON_MS + 1)
    rest(world, learner)
    (contest,) = shown(world).contests
    assert contest.decisions == 120
    figures = {one.name: one.progressive for one in shown(world).models}
    assert figures["champion"].examples == figures["other"].examples == 120
    rows = world.client.hgetall(app_keys.contests("world"))
    rest(world, learner)
    assert world.client.hgetall(app_keys.contests("world")) == rows


def test_an_orderly_stop_forgets_no_decision(world):
    """Streams are trimmed at the stop: what is known of the contests is written down before."""
    deploy(world)
    learner = world.learner()
    rest(world, learner)
    traffic(world, 40)
    drain(learner, lambda: True)
    assert all(world.client.xlen(keys.examples) <= 1 for keys in world.partitions)
    rest(world, world.learner())
    assert [one.decisions for one in shown(world).contests] == [40]


def test_a_model_that_is_deployed_again_with_other_weights_begins_anew(world):
    """Under the same name and with the same share: nothing that the one before it earned is counted for it,
    and neither are decisions of its own that finalise only now."""
    world.client.hset(app_keys.model_records("world"), mapping={"1": b"one", "5": b"five"})
    deploy(world, version=1)
    learner = world.learner()
    traffic(world, 60)
    rest(world, learner)
    assert [one.decisions for one in shown(world).contests] == [60]
    traffic(world, 20, mature=False)
    deploy(world, version=5)
    world.move(HORIZON_MS + 1)
    rest(world, learner)
    assert shown(world).contests == ()
    assert [one.name for one in shown(world).models] == ["champion"]


def test_a_learner_that_another_one_replaced_between_evidence_and_promotion_promotes_nobody(world):
    """It has written what it knows, sleeps, and wakes when a later one runs: the roster has a fence of its
    own, and the later one promotes, once."""
    deploy(world)
    learner = world.learner()
    traffic(world, 400)
    later = []

    def replaced(reached):
        if reached == "contests written" and not later:
            later.append(None)
            later[0] = world.learner()

    failpoints.arm(replaced)
    with suppress(Fenced):
        rest(world, learner)
    assert later
    assert promotions(world) == []
    rest(world, later[0])
    assert [one.champion for one in promotions(world)] == ["other"]


def test_a_learner_that_was_paused_is_fenced_off(world):
    """What the later one knows is not written over."""
    deploy(world)
    learner, _ = world.learner(), world.learner()
    world.now_s += 60.0
    learner.promoter.observe(Chunk(0, "1-0", "2-0", [], []))
    with pytest.raises(Fenced):
        learner.promoter.look()


def test_foreign_bytes_in_the_store_stop_nobody(world):
    """A state that is none is forgotten; with a roster that is none the learner goes on learning."""
    deploy(world)
    world.client.hset(app_keys.contests("world"), "state", b"\xff not it")
    learner = world.learner()
    world.client.hset(app_keys.roster("world"), "models", b"not it")
    traffic(world, 30)
    rest(world, learner)
    assert world.weights().header.examples == 30
    assert [one.decisions for one in shown(world).contests] == [30]


OTHERS = [pytest.param(key, marks=pytest.mark.slow) for key in (app_keys.contests, app_keys.model_notices)]


@pytest.mark.parametrize("key", [app_keys.roster, *OTHERS])
def test_a_key_of_another_kind_stops_nobody(world, key):
    """Before the learner starts, or while it runs: it learns on."""
    deploy(world)
    learner = world.learner()
    world.client.delete(key("world"))
    world.client.set(key("world"), b"a text")
    traffic(world, 400)
    rest(world, learner)
    learner = world.learner()
    traffic(world, 10)
    rest(world, learner)
    assert world.weights().header.examples == 410


def test_the_command_shows_models_contests_and_promotions(world, monkeypatch, tmp_path, store_url):
    """What `sidearm models contests` prints before and after there is something to say."""
    (tmp_path / "app.toml").write_text('name = "world"\n')
    monkeypatch.setenv("REDIS_URL", store_url)

    def contests():
        done = CliRunner().invoke(app, ["contests", "--app", str(tmp_path)], env={"COLUMNS": "200"})
        assert done.exit_code == 0, done.output
        return done.output

    assert "no decision of several models" in contests()
    deploy(world)
    learner = world.learner()
    traffic(world, 400)
    rest(world, learner)
    traffic(world, 40, champion="other")
    rest(world, learner)
    told = contests()
    for word in ("promoted", "against the champion", "undecided", "AUC", "automatic"):
        assert word in told


def test_a_model_that_is_alone_again_has_the_learners_own_figures(world):
    """What is shown is emptied, so that nobody takes figures of the past for those of now."""
    deploy(world)
    learner = world.learner()
    traffic(world, 20)
    rest(world, learner)
    assert len(shown(world).models) == 2
    change_roster(world.scripts, "world", lambda roster: without_model(roster, "other"), "undeployed")
    rest(world, learner)
    assert shown(world).models == ()


def test_without_another_model_nothing_is_kept(world):
    """An application with one model pays nothing."""
    learner = world.learner()
    world.shop(20)
    rest(world, learner)
    assert not world.client.exists(app_keys.contests("world"))
