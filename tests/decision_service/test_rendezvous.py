"""Which answer is the official one, and how probably: by priority, elapsed time and share."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decision_service.rendezvous import awaited, candidates_of, chances, meeting, named, preferred
from decision_service.scored import Scored, backstop
from sidecar.contracts.application import Exploration
from sidecar.contracts.ids import new_decision_id
from sidecar.contracts.roster import FIRST_ROSTER, Model, Roster
from sidecar.contracts.roster_changes import with_model
from sidecar.policy.exploration import pmf_of
from sidecar.policy.propensity import mixture, posterior
from sidecar.policy.sampling import coin_of, draw, seed_of

SECRET = b"secret of the application"
DRAWS, FAILS = 1_000_000, 1e-9
SHOP = (
    Model(name="champion", role="champion"),
    Model(name="bold", role="challenger", share=0.3, priority=1),
    Model(name="shy", role="challenger", share=0.1, priority=2),
    Model(name="spare", role="challenger"),
    Model(name="dark", role="shadow"),
    Model(name="bird", role="canary", version=3),
    Model(name="duck", role="decoy"),
)


def said(name, values=(0.1, 0.9, 0.4), exploration=None, version=1):
    how = exploration or Exploration(epsilon=0.2, control_share=0.05)
    return Scored(np.array(values, np.float32), how, "model", name, version)


def answers(*names):
    return {name: said(name) for name in names}


@pytest.mark.parametrize(
    ("answered", "expected"),
    [
        ("champion bold shy spare dark", {"champion": 0.6, "bold": 0.3, "shy": 0.1, "spare": 0.0}),
        ("champion shy", {"champion": 0.9, "shy": 0.1}),
        ("champion dark", {"champion": 1.0}),
        ("bold shy spare", {"shy": 0.7, "bold": 0.3, "spare": 0.0}),
        ("bold spare", {"bold": 1.0, "spare": 0.0}),
        ("spare", {"spare": 1.0}),
        ("dark bird", {}),
        ("", {}),
    ],
)
def test_the_share_of_who_is_silent_goes_to_the_champion_else_to_the_highest_priority(answered, expected):
    assert chances(SHOP, answered.split()) == pytest.approx(expected)


@given(
    st.lists(st.tuples(st.floats(0, 1), st.integers(-2, 2), st.booleans()), max_size=6),
    st.booleans(),
)
def test_the_chances_of_those_who_answered_are_a_distribution(challengers, champion_answers):
    total = sum(share for share, _, _ in challengers) or 1.0
    models = [SHOP[0]] + [
        Model(name=f"m{i}", role="challenger", share=share / max(total, 1.0), priority=priority)
        for i, (share, priority, _) in enumerate(challengers)
    ]
    answered = {f"m{i}" for i, (_, _, answers) in enumerate(challengers) if answers}
    answered |= {"champion"} if champion_answers else set()
    found = chances(models, answered)
    assert found.keys() == answered
    assert all(0.0 <= chance <= 1.0 for chance in found.values())
    assert not answered or sum(found.values()) == pytest.approx(1.0)


def test_the_order_of_preference_is_champion_priority_name():
    assert [one.name for one in preferred(SHOP)] == ["champion", "shy", "bold", "spare"]


@pytest.mark.parametrize(
    ("answered", "expected"),
    [
        ("", "champion shy bold spare"),
        ("champion", "bold shy"),
        ("bold", "champion shy"),
        ("spare bold", "champion shy"),
        ("champion shy bold", ""),
    ],
)
def test_who_cannot_change_the_answer_is_not_waited_for(answered, expected):
    """A challenger without a share matters only while nobody who is preferred to it has answered."""
    assert [one.name for one in awaited(SHOP, answered.split())] == expected.split()


def test_a_shadow_with_a_wait_is_waited_for():
    models = (
        SHOP[0],
        Model(name="dark", role="shadow", wait_ms=5),
        Model(name="duck", role="decoy", wait_ms=5),
    )
    assert [one.name for one in awaited(models, ("champion",))] == ["dark"]
    assert not awaited(models, ("champion", "dark"))


def test_what_is_known_when_it_closes():
    met = meeting(Roster(SHOP), answers("champion", "shy", "spare", "dark"))
    assert (met.policy, met.probability) == ("champion", 0.9)
    assert [(one.policy, one.probability) for one in met.candidates] == [("shy", 0.1)]
    assert [one.policy for one in met.shadows] == ["spare", "dark"]
    assert met.missing == ("bold", "bird")
    assert meeting(Roster(SHOP), answers("dark")) is None


def test_with_one_model_nothing_changes():
    met = meeting(FIRST_ROSTER, answers("champion"))
    assert (met.candidates, met.shadows, met.missing, met.probability) == ((), (), (), 1.0)
    assert named(met, 2, 0.999) is met


TIMED_OUT = {"champion": 0.3, "bold": 0.25, "shy": 0.4}
"""Model to the probability that it does not answer in time."""
SAID = {
    "champion": said("champion"),
    "bold": said("bold", (0.9, 0.1, 0.2), Exploration("softmax", control_share=0.05, temperature=0.3)),
    "shy": said("shy", (0.5, 0.5, 0.1), Exploration("squarecb", control_share=0.05, gamma=4.0)),
}
NAMES = (*SAID, "backstop")


@pytest.mark.slow
def test_a_million_draws_have_the_frequencies_of_the_mixture_whoever_times_out():
    """Of arms, and of arms and official models together: nobody is more often official than is logged.

    Timeouts are injected into every decision; each is drawn from its own mixture, given who answered, down to
    nobody. Bernstein, for sums of independent trials that are not alike: P(|f - p| > t) <=
    2 exp(-n t^2 / (2 (v + t / 3))), v the mean of p_i (1 - p_i), at most p (1 - p); S. Boucheron, G. Lugosi
    and P. Massart, "Concentration Inequalities", 2013, theorem 2.10. All cells of all sets of who answered
    and of the whole break the bound with probability 1e-9 at most.
    """
    ids = [new_decision_id(1, 1_700_000_000_000, number) for number in range(DRAWS)]
    seeds = np.fromiter((seed_of(one, SECRET) for one in ids), np.uint64, DRAWS)
    coins = np.fromiter((coin_of(one, SECRET) for one in ids), np.float64, DRAWS)
    heard = np.random.default_rng(1).random((DRAWS, 3)) >= list(TIMED_OUT.values())
    drawn, logged = np.zeros((4, 3)), np.zeros((4, 3))
    for present in np.unique(heard, axis=0):
        places = np.flatnonzero((heard == present).all(axis=1))
        roster_said = {name: SAID[name] for name, is_there in zip(SAID, present, strict=True) if is_there}
        met = meeting(Roster(SHOP), roster_said) or backstop(3)
        counts, joint = drawn_and_logged(met, seeds[places], coins[places])
        assert within(counts / len(places), joint, len(places))
        drawn, logged = drawn + counts, logged + joint * len(places)
    assert within(drawn / DRAWS, logged / DRAWS, DRAWS)
    assert within(drawn.sum(axis=0) / DRAWS, logged.sum(axis=0) / DRAWS, DRAWS)


def drawn_and_logged(met, seeds, coins):
    """How often each model was official with each arm, and what the log says of it; ``(4, n_arms)`` both."""
    parts, pmf = met.parts(), mixture(met.parts())
    arms = np.searchsorted(np.cumsum(pmf), (seeds >> np.uint64(11)) * 2.0**-53, side="right")
    ends = np.array([np.cumsum(posterior(parts, place)) for place in range(len(pmf))])
    official = (coins[:, None] >= ends[arms]).sum(axis=1)
    for number in range(min(500, len(seeds))):
        arm = draw(pmf, int(seeds[number]))
        assert arm == arms[number]
        assert named(met, arm, coins[number]).policy == parts[official[number]][0]
    counts, joint = np.zeros((4, 3)), np.zeros((4, 3))
    for place, (name, chance, scores, how) in enumerate(parts):
        counts[NAMES.index(name)] = np.bincount(arms[official == place], minlength=3)
        joint[NAMES.index(name)] = chance * pmf_of(scores, how)
    assert joint.sum(axis=0) == pytest.approx(pmf, abs=1e-15)
    return counts, joint


_BOUNDS = (2**3 + 1) * 12 + 3
"""How many cells are compared."""


def within(frequencies, expected, draws):
    each = math.log(2 * _BOUNDS / FAILS) / draws
    bound = each / 3 + np.sqrt((each / 3) ** 2 + 2 * expected * (1 - expected) * each)
    return bool((np.abs(frequencies - expected) <= bound).all())


@settings(max_examples=200)
@given(
    st.integers(1, 5),
    st.lists(st.tuples(st.floats(0.01, 1), st.lists(st.floats(-3, 3), min_size=5, max_size=5)), max_size=5),
    st.floats(0, 1, exclude_max=True),
    st.integers(0, 2**62),
)
def test_the_pmf_has_the_same_bits_whoever_is_official(n_arms, models, coin, seed):
    """So a decision is drawn again from its log, whichever of its models stands first there."""
    total = sum(share for share, _ in models) + 1.0
    roster = FIRST_ROSTER
    heard = {"champion": said("champion", [0.1] * n_arms)}
    for number, (share, values) in enumerate(models):
        name = f"m{number}"
        roster = with_model(roster, Model(name=name, role="challenger", share=share / total))
        heard[name] = said(name, values[:n_arms], Exploration(epsilon=share / 2, control_share=0.01))
    met = meeting(roster, heard)
    pmf = mixture(met.parts())
    place = draw(pmf, seed)
    official = named(met, place, coin)
    assert mixture(official.parts()).tobytes() == pmf.tobytes()
    chances_now = {one.policy: one.probability for one in (official, *candidates_of(official))}
    assert chances_now == {one.policy: one.probability for one in (met, *met.candidates)}
    assert official.values[place] is not None
    assert pmf[place] > 0.0
