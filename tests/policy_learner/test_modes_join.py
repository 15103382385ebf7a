"""What the scripts write and what the trainer reads of it, mode by mode, whatever comes in whatever order."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policy_learner.learning.teaching import Effect, teaching_of
from sidecar.contracts.events import encode_reward_tail
from sidecar.contracts.joining import AGGREGATIONS, join
from sidecar.contracts.reward_section import RewardConfig
from sidecar.contracts.scripts.activate import ActivateEntry, activate_call, parse_activate
from sidecar.contracts.scripts.decide import decide_call, entry_of, parse_decide
from sidecar.contracts.scripts.finalise import decode_example
from sidecar.contracts.scripts.orphan import decode_late
from sidecar.contracts.scripts.reward import RewardEntry, RewardLimits, parse_reward, reward_call
from sidecar.contracts.upkeep import finalise_due, give_up_orphans, read_books
from tests.policy_learner.world import HORIZON_MS, World

DAY_MS = 86_400_000
MODES = ("wait", "assume", "earliest")
LIMITS = RewardLimits(600_000, DAY_MS, 6, 1000)


class Join:
    """One decision after the other, in one partition, with no learner."""

    def __init__(self, store, data_folder):
        self.world = World(store, data_folder, partitions=1)
        (self.keys,) = self.world.partitions
        self.run, self.client = self.world.scripts.run, store

    def decide(self, event, mode):
        call = decide_call(self.keys, [entry_of(event, mode)], max_pending=10**6, tombstone_ms=DAY_MS)
        return parse_decide(self.run(call))[0].status

    def reward(self, event, key, value):
        entry = RewardEntry(event.decision_id, key, encode_reward_tail(value, 0, "purchase", ""))
        return parse_reward(self.run(reward_call(self.keys, [entry], LIMITS)))[0].status

    def activate(self, event):
        entry = ActivateEntry(event.decision_id, "")
        return parse_activate(self.run(activate_call(self.keys, [entry], tombstone_ms=DAY_MS)))[0].status

    def pass_by(self, ms):
        self.world.move(ms)
        while finalise_due(self.world.scripts, self.keys, tombstone_ms=DAY_MS):
            pass
        while give_up_orphans(self.world.scripts, self.keys):
            pass
        assert read_books(self.world.scripts, self.keys, count_rewards=True) == (0, 0)

    def told_of(self, event):
        found = [decode_example(0, *entry) for entry in self.client.xrange(self.keys.examples)]
        return [one for one in found if one.decision.decision_id == event.decision_id]

    def late_of(self, event):
        found = [decode_late(0, *entry) for entry in self.client.xrange(self.keys.late)]
        return "".join(one.kind for one in found if one.name == event.decision_id)


@pytest.fixture
def joint(store, data_folder):
    return Join(store, data_folder)


SEVERAL = st.lists(st.tuples(st.sampled_from("abcdefgh"), st.floats(-1e6, 1e6)), max_size=9)


@settings(max_examples=80, suppress_health_check=list(HealthCheck), deadline=None)
@given(
    early=SEVERAL,
    before=SEVERAL,
    after=SEVERAL,
    deferred=st.booleans(),
    mode=st.sampled_from(MODES),
    aggregation=st.sampled_from(sorted(AGGREGATIONS)),
    default=st.sampled_from((0.0, -0.25)),
)
def test_every_mode_teaches_what_waiting_would(
    joint, early, before, after, deferred, mode, aggregation, default
):
    """Assume: the default and all corrections add up to the reward at the horizon, for every aggregation.
    Earliest: one effect, E or F. Wait: F. And the row's reward is the same in all."""
    event = joint.world.event(deferred=deferred)
    config = RewardConfig(aggregation=aggregation, default=default, mode=mode)
    for given_then, then in ((early, lambda: joint.decide(event, mode)), (before, lambda: None)):
        for key, value in given_then:
            joint.reward(event, key, value)
        then()
    assert [one.kind for one in joint.told_of(event)] == [] or not deferred
    joint.activate(event)
    for key, value in after:
        joint.reward(event, key, value)
    joint.pass_by(HORIZON_MS + 1)

    told = joint.told_of(event)
    first_six = dict(reversed([*early, *before, *after]))  # the first value of each key
    kept = dict(itertools.islice(dict.fromkeys(key for key, _ in (*early, *before, *after)).items(), 6))
    final = told[-1]
    assert (final.kind, final.mode) == ("F", mode[0])
    assert {one.key: one.value for one in final.rewards} == {key: first_six[key] for key in kept}
    taught = [teaching_of(one, config) for one in told]
    expected, effects = join(final.rewards, config).value, [one.effect for one in taught]
    learnt = [one.reward for one in taught if one.effect in (Effect.LEARNT, Effect.ASSUMED, Effect.CORRECTED)]
    if mode == "assume":
        assert effects == [Effect.ASSUMED, *[Effect.CORRECTED] * len(kept), Effect.WATCHED]
        assert math.isclose(math.fsum(learnt), expected, rel_tol=1e-9, abs_tol=1e-6)
    else:
        assert effects.count(Effect.LEARNT) == len(learnt) == 1
        assert (len(told), learnt[0]) == (1, expected) if mode == "wait" or not kept else (2, learnt[0])


@pytest.mark.parametrize("mode", MODES)
def test_each_odd_reward_has_its_place_in_every_mode(joint, mode):
    """Early, accepted, duplicate, contradicting, over the limit, late, for nobody: one place each."""
    event, nobody = joint.world.event(), joint.world.event()
    fates = [joint.reward(event, "early", 1.0), joint.reward(nobody, "k", 1.0), joint.decide(event, mode)]
    fates += [joint.reward(event, "a", value) for value in (2.0, 2.0, -2.0)]
    fates += [joint.reward(event, f"k{n}", float(n)) for n in range(5)]
    told = len(joint.told_of(event))
    joint.pass_by(600_001)
    fates += [joint.reward(event, "later", 1.0), joint.reward(event, "a", 9.0)]

    assert fates == [
        *("EARLY", "EARLY", "OK", "OK", "DUP", "DUP"),
        *("OK", "OK", "OK", "OK", "OVER", "OVER", "DUP"),
    ]
    assert told == {"wait": 0, "assume": 1 + 6, "earliest": 1}[mode]
    assert joint.late_of(event) == "XOOX"
    assert joint.late_of(nobody) == "P"


@pytest.mark.parametrize("mode", MODES)
def test_what_comes_after_the_horizon_teaches_nothing(joint, mode):
    """Late rewards lie with the late ones, in every mode."""
    event = joint.world.event()
    joint.decide(event, mode)
    joint.pass_by(HORIZON_MS + 1)
    told = len(joint.told_of(event))

    assert joint.reward(event, "k", 1.0) == "LATE"
    assert (len(joint.told_of(event)), joint.late_of(event)) == (told, "L")


@pytest.mark.parametrize("before", MODES)
@pytest.mark.parametrize("after", MODES)
def test_a_decision_keeps_the_mode_that_it_was_made_in(joint, before, after):
    """The application may change its mind while decisions wait: only those made since follow it."""
    first, second = joint.world.event(), joint.world.event()
    joint.decide(first, before)
    joint.decide(second, after)
    for event in (first, second):
        joint.reward(event, "k", 1.0)
    joint.pass_by(HORIZON_MS + 1)

    kinds = {"wait": "F", "assume": "ACF", "earliest": "EF"}
    told = ["".join(one.kind for one in joint.told_of(event)) for event in (first, second)]
    assert told == [kinds[before], kinds[after]]


def test_a_clock_that_jumps_ahead_and_back_neither_loses_nor_hurries_anything(joint):
    """Forward: what is due is finalised, rewards are late. Back: time stands still until it is reached."""
    for mode in MODES:
        event = joint.world.event()
        joint.decide(event, mode)
        joint.pass_by(10 * HORIZON_MS)
        assert joint.reward(event, "k", 1.0) == "LATE"
        joint.world.move(-9 * HORIZON_MS)
        other = joint.world.event()
        assert joint.decide(other, mode) == "OK"
        joint.pass_by(0)
        assert joint.reward(other, "k", 1.0) == "OK"
        joint.pass_by(HORIZON_MS)
        assert joint.reward(other, "l", 1.0) == "OK"
        joint.pass_by(10 * HORIZON_MS)
        assert joint.told_of(other)[-1].kind == "F"
        assert [one.key for one in joint.told_of(other)[-1].rewards] == ["k", "l"]
        times = [int(position.split(b"-")[0]) for position, _ in joint.client.xrange(joint.keys.examples)]
        assert times == sorted(times)
