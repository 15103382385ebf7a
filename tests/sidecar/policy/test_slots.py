"""Several slots: what each is drawn from, that it can be had again, and that frequencies are as logged."""

from __future__ import annotations

import math
from collections import Counter
from functools import cache

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.contracts.application import Exploration
from sidecar.contracts.arm_features import Levels, column_of, values_of
from sidecar.contracts.errors import BadEvent
from sidecar.contracts.events import (
    Candidate,
    DecisionEvent,
    JoinedDecision,
    RewardRecord,
    Shadow,
    Slot,
    decode_decision,
    encode_decision,
)
from sidecar.contracts.slots import scored_at, seed_of_slot, slot_event, slots_of
from sidecar.policy.propensity import pmf_of_event
from sidecar.policy.sampling import draw, seed_of
from sidecar.policy.slots import with_slots

MILLION = 1_000_000
EPSILON = Exploration("epsilon_greedy", 0.2, 0.01)


def made(scores, count, n=0, exploration=EPSILON, **changes) -> DecisionEvent:
    """A decision of ``count`` slots over as many arms as there are scores."""
    arms = tuple(f"sku-{place}" for place in range(len(scores)))
    seed = seed_of(f"{n:x}", b"secret")
    event = DecisionEvent(
        decision_id=f"0-18bcfe56800{n:016x}",
        session_id="s",
        unit_id="s",
        decided_at_ms=1,
        horizon_ms=2,
        source="model",
        policy="champion",
        model_version=1,
        catalogue="c",
        context={},
        outcomes={},
        arms=(),
        given_arms={},
        scores=np.array(scores, "<f4").tobytes(),
        exploration=exploration,
        arm="",
        arm_index=0,
        propensity=0.0,
        seed=str(seed),
    )
    event = msgspec.structs.replace(event, **changes)
    pmf = pmf_of_event(event)
    first = draw(pmf, seed)
    event = msgspec.structs.replace(event, arm=arms[first], arm_index=first, propensity=float(pmf[first]))
    return with_slots(event, arms, count)


@given(
    st.lists(st.floats(-5, 5, width=32), min_size=1, max_size=12), st.integers(1, 15), st.integers(0, 2**60)
)
def test_every_slot_is_drawn_again_from_what_is_stored(scores, count, n):
    """Each slot is a decision among the arms left: the same arm again, with exactly the logged propensity."""
    event = decode_decision(encode_decision(made(scores, count, n)))
    assert 1 + len(event.slots) == min(count, len(scores))
    shown = []
    for slot in range(1 + len(event.slots)):
        one = slot_event(event, slot)
        arms = one.arms or tuple(f"sku-{place}" for place in range(len(scores)))
        pmf = pmf_of_event(one)
        place = draw(pmf, int(one.seed))
        assert (arms[place], place, float(pmf[place])) == (one.arm, one.arm_index, one.propensity)
        assert len(pmf) == len(scores) - slot
        assert not set(arms) & set(shown)
        shown.append(one.arm)
    assert [one.arm for one in event.slots] == shown[1:]


@pytest.mark.slow
def test_a_million_orders_come_as_often_as_the_product_of_their_propensities():
    """Three slots of four arms, three models: each of 24 orders within Bernstein's bound of the product.

    A right platform fails with a probability below 24 x 1e-9: seeds are no coins, but fixed. What is drawn
    here is what decisions hold, as every thousandth of them shows.
    """
    scores, changes = [0.5, 0.1, 0.4, 0.2], two_others()
    pmf_left = cache(lambda left: pmf_of_event(scored_at(made(scores, 2, **changes), left)))
    seen, expected = Counter(), {}
    for n in range(MILLION):
        seed, left, order, chance = seed_of(f"{n:x}", b"secret"), (0, 1, 2, 3), (), 1.0
        for slot in range(3):
            pmf = pmf_left(left)
            place = draw(pmf, seed_of_slot(seed, slot))
            order, chance = (*order, left[place]), chance * float(pmf[place])
            left = left[:place] + left[place + 1 :]
        seen[order] += 1
        expected[order] = chance
        if n % 1000 == 0:
            event = made(scores, 3, n, **changes)
            assert order == (event.arm_index, *(slot.arm_index for slot in event.slots))
            assert chance == math.prod([event.propensity, *(slot.propensity for slot in event.slots)])
    assert (len(expected), round(sum(expected.values()), 12)) == (24, 1.0)
    for order, chance in expected.items():
        assert abs(seen[order] - MILLION * chance) < bernstein(MILLION * chance * (1 - chance)), order


def bernstein(variance: float, failure: float = 1e-9) -> float:
    """How far a sum of 0s and 1s strays from its mean but with that probability (S. Bernstein, 1924)."""
    third = math.log(2 / failure) / 3
    return third + math.sqrt(third**2 + 6 * third * variance)


def two_others() -> dict[str, object]:
    """The official model stands for half of it, two others for the rest."""
    other = np.array([0.0, 2.0, 1.0, 0.5], "<f4").tobytes()
    candidates = (
        Candidate("one", 1, 0.3, EPSILON, other),
        Candidate("two", 2, 0.2, Exploration("uniform"), other),
    )
    return {"official_probability": 0.5, "candidates": candidates}


def test_the_second_slot_shows_the_best_of_the_others():
    """But for exploration: it explores anew, the first pmf is not only scaled up."""
    event = made([0.1, 0.9, 0.5], 2, exploration=Exploration("epsilon_greedy", 0.0, 0.0))
    assert (event.arm, event.slots) == ("sku-1", (Slot("sku-2", 2, 1.0),))


def test_a_slot_sees_its_own_arms_features_only():
    """Columns, outcomes, given features, shadows: all follow the arms that are left."""
    event = made([0.1, 0.9, 0.5], 3, exploration=Exploration("epsilon_greedy", 0.0, 0.0))
    event = msgspec.structs.replace(
        event,
        given_arms={"sku-0": {"a": 1.0}, "sku-1": {"a": 2.0}},
        arm_features={"price": column_of([1.0, 2.0, None]), "kind": column_of(["x", None, "y"])},
        arm_outcomes={"price": Levels(("ok", "late"), b"\x01\x02\x01")},
        shadows=(Shadow("s", 1, np.array([7.0, 8.0, 9.0], "<f4").tobytes()),),
    )
    second = slot_event(event, 1)
    assert second.arms == ("sku-0", "sku-2")
    assert second.given_arms == {"sku-0": {"a": 1.0}}
    assert values_of(second.arm_features["price"], 2) == [1.0, None]
    assert values_of(second.arm_features["kind"], 2) == ["x", "y"]
    assert second.arm_outcomes["price"].codes == b"\x01\x01"
    assert np.frombuffer(second.shadows[0].scores, "<f4").tolist() == [7.0, 9.0]
    assert slot_event(event, 2).arms == ("sku-0",)


@pytest.mark.parametrize(
    "slots",
    [(Slot("sku-2", 2, 0.5), Slot("sku-2", 2, 0.5)), (Slot("sku-2", 9, 0.5),), (Slot("other", 2, 0.5),)],
)
def test_slots_that_are_no_arms_are_refused(slots):
    """Foreign bytes stop with a word, not with another arm's reward."""
    event = made([0.1, 0.9, 0.5], 2, exploration=Exploration("epsilon_greedy", 0.0, 0.0))
    with pytest.raises(BadEvent, match="slots"):
        slot_event(msgspec.structs.replace(event, slots=slots), 1)


def test_each_reward_is_of_exactly_one_slot():
    """By the arm that it names; one that names none, or an arm that was not shown, is the first slot's."""
    event = made([0.1, 0.9, 0.5], 2, exploration=Exploration("epsilon_greedy", 0.0, 0.0))
    rewards = tuple(
        RewardRecord(key, at, 1.0, 0, arm=arm)
        for at, (key, arm) in enumerate([("a", "sku-1"), ("b", "sku-2"), ("c", ""), ("d", "sku-0")])
    )
    joined = JoinedDecision(0, "5-0", event, rewards, encode_decision(event))
    assert [[r.key for r in part.rewards] for part in slots_of(joined)] == [["a", "c", "d"], ["b"]]
    corrected = msgspec.structs.replace(joined, kind="C", mode="a", key="b")
    assert [(part.slot, part.decision.arm) for part in slots_of(corrected)] == [(1, "sku-2")]


def test_seeds_of_slots_are_unrelated():
    """A million neighbouring ones are different, and their bits even."""
    seeds = {seed_of_slot(seed, slot) for seed in range(2000) for slot in range(1, 51)}
    assert len(seeds) == 100_000
    ones = sum(bin(seed).count("1") for seed in seeds) / len(seeds)
    assert abs(ones - 32) < 0.1
