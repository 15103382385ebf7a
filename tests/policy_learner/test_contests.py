"""Challengers, champions and shadows of the shop: who takes whose place, looked at every minute."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples.shop.simulator import FOLDER, expected_reward, swapped
from policy_learner.promotion import heard
from policy_learner.promotion.change import in_place, promotion_of, successor
from policy_learner.promotion.heard import Matured
from policy_learner.promotion.ledger import Ledger, span_of
from sidecar.contracts.application import Exploration, load_application
from sidecar.contracts.errors import BadModel
from sidecar.contracts.events import Candidate, Shadow
from sidecar.contracts.promotion import PromotionConfig
from sidecar.contracts.roster import Model, Roster
from sidecar.policy.exploration import pmf_of
from tests.policy_learner.contests_shop import ARMS, EXPLORATION, TYPES, Shop, knowing, value

APPLICATION = load_application(FOLDER)
PLAIN, RICH = knowing("segment"), knowing("segment", "band", "device", "returning")
MINUTES, TURN = 60, 90


def roster_of(role="challenger", share=0.1, **more) -> Roster:
    other = Model(name="other", role=role, share=share, **more)
    return Roster((Model(name="champion", role="champion"), other), 1)


def held(seed, champion, challenger, minutes=MINUTES, roster=None, application=APPLICATION):
    """A contest, minute by minute, until somebody wins it."""
    roster = roster or roster_of()
    shop, ledger = Shop(seed, {"champion": champion, "other": challenger}), Ledger(application)
    ledger.go_on(roster)
    for _ in range(minutes):
        ledger.count(shop.minute(roster))
        if won := successor(ledger.contests(), roster):
            return ledger, won
    return ledger, None


@pytest.mark.parametrize("seed", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in range(1, 20))])
def test_a_better_challenger_is_promoted_and_a_worse_one_never(seed):
    """Over 20 seeds with a look every minute. By chance the worse one would be in 20 runs with 0.2 at most,
    were it just no better; it is far worse. The better one's interval holds the truth."""
    _, won = held(seed, PLAIN, RICH)
    assert won is not None
    assert won.lower <= value(RICH) - value(PLAIN) <= won.upper
    assert held(seed, RICH, PLAIN)[1] is None


@pytest.mark.parametrize("seed", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in range(1, 20))])
def test_an_equal_challenger_is_not_promoted(seed):
    """Two models that disagree at every second shopper and earn the same: the stated error is 1 % a run."""
    rng = np.random.default_rng(seed)
    ours, theirs, truth = rng.random(RICH.shape, np.float32), rng.random(RICH.shape, np.float32), 0.05
    shop, ledger, roster = Shop(seed, {"champion": ours, "other": theirs}), Ledger(APPLICATION), roster_of()
    shop.truth = np.full(RICH.shape, truth)
    ledger.go_on(roster)
    for _ in range(MINUTES):
        ledger.count(shop.minute(roster))
        assert successor(ledger.contests(), roster) is None


def test_a_worse_one_is_called_worse():
    """The other end of the interval says so, and nothing happens."""
    ledger, won = held(3, RICH, knowing())
    (contest,) = ledger.contests()
    assert won is None
    assert contest.verdict == "worse"
    assert contest.upper < 0.0


def test_a_shadow_is_compared_and_never_answers():
    """Its scores alone say something, but it is for people to make it a challenger."""
    ledger, won = held(4, knowing("device"), RICH, minutes=40, roster=roster_of("shadow", 0.0))
    (contest,) = ledger.contests()
    assert won is None
    assert contest.decisions == 40 * 300
    assert contest.difference == pytest.approx(value(RICH) - value(knowing("device")), abs=0.05)
    assert contest.lower < value(RICH) - value(knowing("device")) < contest.upper
    assert contest.lower > -0.02


def test_too_few_decisions_in_effect_are_not_enough():
    """However certain, a handful of decisions changes nobody."""
    careful = msgspec.structs.replace(APPLICATION, promotion=PromotionConfig(least_effective=100_000))
    ledger, won = held(5, PLAIN, RICH, minutes=30, application=careful)
    assert won is None
    assert ledger.contests()[0].verdict == "too few"


def test_the_margin_must_be_exceeded():
    """Better, but not by that much."""
    wide = msgspec.structs.replace(APPLICATION, promotion=PromotionConfig(margin=0.2))
    ledger, won = held(5, PLAIN, RICH, minutes=30, application=wide)
    assert won is None
    assert 0.0 < ledger.contests()[0].lower < 0.2


def test_a_model_that_is_worse_than_drawing_evenly_is_no_champion():
    """Better than a champion that is worse still: the control share contradicts."""
    awful, bad = -RICH, -knowing("segment")
    ledger, won = held(6, awful, bad, minutes=100)
    (contest,) = ledger.contests()
    assert won is None
    assert contest.verdict == "contradicted"
    assert contest.control_upper < 0.0


def changes_of(seed, former, turn, minutes=260):
    """Who took whose place, and when; something turns after 90 minutes."""
    roster, changes, last = roster_of(), [], None
    shop, ledger = Shop(seed, {"champion": former, "other": RICH}), Ledger(APPLICATION)
    for minute in range(minutes):
        if minute == TURN:
            turn(shop)
        ledger.go_on(roster)
        ledger.count(shop.minute(roster))
        if won := successor(ledger.contests(), roster):
            roster, last = in_place(roster, won, roster), promotion_of(won, last)
            changes.append((minute, last.kind, last.champion))
            if len(changes) == 2:
                break
    return changes


@pytest.mark.parametrize("seed", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in range(1, 20))])
def test_a_promoted_model_that_turns_bad_is_rolled_back(seed):
    """Promoted, good for an hour, then it begins to prefer what nobody buys: within half an hour."""

    def turn(shop):
        shop.models["other"] = -RICH

    first, second = changes_of(seed, PLAIN, turn)
    assert (first[1:], second[1:]) == (("promoted", "other"), ("rolled back", "champion"))
    assert first[0] < TURN < second[0] < TURN + 30


@pytest.mark.parametrize("seed", [pytest.param(n, marks=pytest.mark.slow) for n in range(5)])
def test_when_the_world_turns_the_model_that_fits_comes_back(seed):
    """Segments change their tastes: what was learnt of them is wrong; a model that knew none is better."""
    former = knowing("band", "device", "returning")

    def turn(shop):
        shop.truth = np.array([[expected_reward(_as(who), arm) for arm in ARMS] for who in TYPES])
        assert value(former, shop.truth) > value(RICH, shop.truth)

    first, second = changes_of(seed, former, turn)
    assert (first[1:], second[1:]) == (("promoted", "other"), ("rolled back", "champion"))
    assert first[0] < TURN < second[0]


def _as(who):
    return swapped("student", "retired")(swapped("parent", "professional")(who))


def test_places_are_changed_with_the_share():
    """The former champion goes on with the share that its challenger had, so that it is compared as well."""
    _, won = held(1, PLAIN, RICH)
    after = in_place(roster_of(), won, roster_of())
    assert {(one.name, one.role, one.share) for one in after.models} == {
        ("other", "champion", 0.0),
        ("champion", "challenger", 0.1),
    }
    with pytest.raises(BadModel, match="does not challenge"):
        in_place(after, won, roster_of())
    with pytest.raises(BadModel, match="another model"):
        in_place(roster_of(version=7), won, roster_of())


def test_another_version_under_the_same_name_begins_anew():
    """Decisions of a model that was replaced say nothing of the one that came."""
    ledger, _ = held(2, PLAIN, RICH, minutes=2)
    assert ledger.contests()[0].decisions == 600
    ledger.go_on(roster_of(version=7))
    assert ledger.contests() == ()
    ledger.count(Shop(2, {"champion": PLAIN, "other": RICH}).minute(roster_of()))  # made with version 1
    assert ledger.contests() == ()


def test_decisions_from_before_a_change_of_its_exploration_say_nothing_of_it():
    """They finalise after the change, and were made by what is another policy now."""
    ledger, minute = Ledger(APPLICATION), Shop(2, {"champion": PLAIN, "other": RICH}).minute(roster_of())
    ledger.go_on(roster_of(exploration=Exploration("softmax", temperature=0.2)))
    ledger.count(minute)
    assert ledger.contests() == ()
    ledger.go_on(roster_of(exploration=Exploration(epsilon=EXPLORATION.epsilon)))
    ledger.count(minute)
    assert ledger.contests()[0].decisions == 300


def test_what_a_shadow_would_have_done_does_not_depend_on_who_was_official():
    """Who was official is named after the arm: a pmf that depended on it would have foreseen the arm."""
    soft = Exploration("softmax", temperature=0.2, control_share=0.01)
    roster = Roster((*roster_of(exploration=soft).models, Model(name="quiet", role="shadow")), 1)
    shop = Shop(5, {"champion": PLAIN, "other": RICH, "quiet": RICH})
    shop.explores["other"] = soft
    decisions = shop.minute(roster, 400)
    assert {one.event.policy for one in decisions} == {"champion", "other"}
    groups = heard.heard(decisions, {one.name: one for one in roster.models})
    assert [len(group.shown) for group in groups] == [400]
    (group,) = groups
    assert group.voices[2].exploration == EXPLORATION
    weights = group.pmfs[2][np.arange(400), group.shown] / group.propensities
    assert weights.mean() == pytest.approx(1.0, abs=5 * weights.std() / 20)


def test_with_another_span_of_rewards_it_begins_anew():
    """Sums are in units of the span: those of two spans must not be added."""
    ledger, _ = held(2, PLAIN, RICH, minutes=2)
    wide = Ledger(msgspec.structs.replace(APPLICATION, promotion=PromotionConfig(highest=5.0)))
    wide.go_on(ledger.roster, ledger.book)
    assert wide.contests() == ()


def test_every_model_has_its_figures():
    """AUC and reward of the official ones and the shadow, on what they scored before it was learnt."""
    roster = Roster((*roster_of().models, Model(name="quiet", role="shadow")), 1)
    shop = Shop(7, {"champion": knowing("device"), "other": RICH, "quiet": -RICH})
    ledger = Ledger(APPLICATION)
    ledger.go_on(roster)
    for _ in range(30):
        ledger.count(shop.minute(roster))
    champion, other, quiet = (one.progressive for one in ledger.figures())
    assert quiet.auc < 0.5 < champion.auc < other.auc
    assert other.examples == 9_000
    assert other.snips == pytest.approx(value(RICH), abs=5 * other.snips_error)
    assert champion.snips == pytest.approx(value(knowing("device")), abs=5 * champion.snips_error)


def brute_force(rows, name):
    """Figures of a model from the definitions, of (event, reward)."""
    expected, weights, rewards = [], [], np.array([reward for _, reward in rows])
    for event, _ in rows:
        scores = {one.policy: one.scores for one in (event, *event.candidates, *event.shadows)}[name]
        values = np.frombuffer(scores, "<f4")
        best = values == values.max()
        pmf = 0.99 * (0.8 * best / best.sum() + 0.2 / len(values)) + 0.01 / len(values)
        expected.append(float(values[event.arm_index]))
        weights.append(pmf[event.arm_index] / event.propensity)
    expected, weights = np.array(expected), np.array(weights)
    high, low = expected[rewards > 0][:, None], expected[rewards <= 0][None, :]
    sure = np.clip(expected, 0.001, 0.999)
    snips = (weights * rewards).sum() / weights.sum()
    return {
        "examples": len(rows),
        "auc": ((high > low) + (high == low) / 2).mean(),
        "squared_error": ((expected - rewards) ** 2).mean(),
        "log_loss": -np.log(np.where(rewards > 0, sure, 1 - sure)).mean(),
        "reward": rewards.mean(),
        "ips": (weights * rewards).mean(),
        "ips_error": (weights * rewards).std() / np.sqrt(len(rows)),
        "snips": snips,
        "snips_error": np.sqrt((weights**2 * (rewards - snips) ** 2).sum()) / weights.sum(),
    }


def test_figures_of_every_model_and_window_are_those_of_a_brute_force_recomputation():
    """The latest 10,000 decisions, give or take a slice of 1,000, and the latest ten minutes."""
    roster = Roster((*roster_of().models, Model(name="quiet", role="shadow")), 1)
    shop = Shop(7, {"champion": knowing("device"), "other": RICH, "quiet": -RICH})
    ledger, minutes = Ledger(APPLICATION), []
    ledger.go_on(roster)
    for minute in range(24):
        decisions = shop.minute(roster, 500)
        minutes.append([(one.event, one.reward) for one in decisions])
        ledger.count(decisions, minute * 60_000 + 59_999)
    latest = [row for minute in minutes[-20:] for row in minute]
    lately = [row for minute in minutes[-10:] for row in minute]
    for one in ledger.figures():
        for figures, rows in ((one.progressive, latest), (one.by_time, lately)):
            exact = brute_force(rows, one.name)
            assert abs(figures.auc - exact.pop("auc")) <= figures.auc_within + 1e-12
            found = {name: getattr(figures, name) for name in exact}
            assert found == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize("role", ["challenger", "shadow"])
def test_challengers_that_are_there_together_share_the_error(role):
    """However many there are, one of them is taken for better without being so no oftener than stated; who
    cannot be promoted takes nothing from those who can."""
    others = tuple([Model(name=f"other{n}", role="challenger", share=0.1) for n in range(4)])
    roster = Roster((Model(name="champion", role="champion"), *others, Model(name="last", role=role)), 1)
    shop = Shop(3, dict.fromkeys([one.name for one in roster.models], RICH) | {"champion": PLAIN})
    ledger = Ledger(APPLICATION)
    ledger.go_on(roster)
    ledger.count(shop.minute(roster))
    *contests, last = ledger.contests()
    whole = APPLICATION.promotion.error / 2  # the other half is for laps
    rivals = 5 if role == "challenger" else 4
    assert [one.error for one in contests] == pytest.approx([whole / rivals] * 4)
    assert last.error == pytest.approx(whole / 5)


def test_what_was_not_drawn_from_the_scores_is_left_out():
    """A propensity that the scores do not explain, an answer of the rough filter, a broken column."""
    roster, ledger = roster_of(), Ledger(APPLICATION)
    (one,) = Shop(8, {"champion": PLAIN, "other": RICH}).minute(roster, 1)
    changes = (
        {"propensity": one.event.propensity * 0.9},
        {"source": "pre_policy"},
        {"learn": False},
        {"scores": np.full(20, np.nan, "<f4").tobytes()},
        {"scores": b""},
        {"arm_index": 99},
        {"propensity": 0.0},
        {"exploration": msgspec.structs.replace(EXPLORATION, scheme="logged")},
    )
    ledger.go_on(roster)
    for change in changes:
        ledger.count([one._replace(event=msgspec.structs.replace(one.event, **change))])
    assert ledger.contests() == ()
    ledger.count([one])
    assert ledger.contests()[0].decisions == 1


def test_a_probability_too_small_for_a_number_poisons_nothing():
    """A softmax that never draws what the challenger wants: sums stay finite, and nothing is claimed."""
    cold = Exploration("softmax", temperature=1e-3, control_share=0.0)
    scores = np.float32([[1.0, 0.0, 0.5]]), np.float32([[0.0, 1.0, 0.5]])
    pmf = pmf_of(scores[0][0], cold)
    event = msgspec.structs.replace(
        Shop(1, {"champion": PLAIN}).minute(Roster(roster_of().models[:1]), 1)[0].event,
        scores=scores[0].tobytes(),
        exploration=cold,
        arm_index=0,
        propensity=float(pmf[0]),
        shadows=(Shadow("other", 1, scores[1].tobytes()),),
    )
    ledger = Ledger(APPLICATION)
    ledger.go_on(roster_of("shadow", 0.0))
    ledger.count([Matured(event, 0.0), Matured(event, 1.0)])
    (contest,) = ledger.contests()
    assert contest.decisions == 2
    assert contest.verdict == "undecided"
    assert all(np.isfinite(getattr(contest, name)) for name in ("difference", "lower", "upper", "effective"))


def test_decisions_of_thousands_of_arms_are_counted_in_parts(monkeypatch):
    """As many at once as fit into a bounded memory; what comes out is the same."""
    roster, decisions = roster_of(), Shop(9, {"champion": PLAIN, "other": RICH}).minute(roster_of(), 50)
    ledgers = []
    for cells in (1 << 18, 1, 200):
        monkeypatch.setattr(heard, "_CELLS", cells)
        ledgers.append(Ledger(APPLICATION))
        ledgers[-1].go_on(roster)
        ledgers[-1].count(decisions)
    whole, *others = (ledger.contests()[0] for ledger in ledgers)
    assert whole.decisions == 50
    assert {one.decisions for one in others} == {50}


Bytes = st.binary(max_size=20).map(lambda some: some * 4) | st.just(np.zeros(20, "<f4").tobytes())
Odd = st.floats(allow_nan=True, allow_infinity=True) | st.sampled_from([0.0, 1.0, 0.5])
Explored = st.builds(Exploration, st.sampled_from(["softmax", "squarecb", "?", "logged"]), Odd, Odd)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_decision_stops_the_count(data):
    """Whatever lies in the log, what is counted is finite, and what comes after it is counted."""
    roster = roster_of()
    (sound,) = Shop(3, {"champion": PLAIN, "other": RICH}).minute(roster, 1)
    fields = {
        "scores": Bytes,
        "arm_index": st.integers(-30, 30),
        "propensity": Odd,
        "official_probability": Odd,
        "inclusion_probability": Odd,
        "exploration": Explored,
        "candidates": st.tuples(st.builds(Candidate, st.just("other"), st.just(1), Odd, Explored, Bytes)),
        "shadows": st.tuples(st.builds(Shadow, st.just("other"), st.just(1), Bytes)),
    }
    names = data.draw(st.sets(st.sampled_from(sorted(fields)), min_size=1))
    spoilt = msgspec.structs.replace(sound.event, **{name: data.draw(fields[name]) for name in sorted(names)})
    ledger = Ledger(APPLICATION)
    ledger.go_on(roster)
    ledger.count([Matured(spoilt, 1.0), sound, Matured(spoilt, 0.0)])
    (contest,) = ledger.contests()
    ledger.figures()
    assert 1 <= contest.decisions <= 3
    assert np.isfinite([contest.difference, contest.lower, contest.upper, contest.effective]).all()


def test_rewards_are_counted_between_their_bounds():
    """By default those of the events; refunds make the least one negative."""
    reward = msgspec.structs.replace(APPLICATION.reward, events={"purchase": 2.0, "refund": -1.0})
    assert span_of(msgspec.structs.replace(APPLICATION, reward=reward)) == (-1.0, 2.0)
    fixed = PromotionConfig(lowest=0.0, highest=5.0)
    assert span_of(msgspec.structs.replace(APPLICATION, promotion=fixed)) == (0.0, 5.0)
