"""The join of rewards: against Python's own functions, whatever order they come in."""

from __future__ import annotations

import math
import statistics
from fractions import Fraction

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.contracts.events import RewardRecord, encode_reward_tail
from sidecar.contracts.joining import AGGREGATIONS, join
from sidecar.contracts.reward_section import RewardConfig
from sidecar.contracts.scripts.finalise import decode_rewards

records = st.lists(
    st.builds(
        RewardRecord,
        key=st.text(min_size=1, max_size=3),
        at_ms=st.integers(0, 3),
        value=st.floats(-1e6, 1e6),
        client_ms=st.integers(0, 10),
    ),
    min_size=1,
    max_size=12,
    unique_by=lambda record: record.key,
)

PYTHONS_OWN = {
    "sum": math.fsum,
    "mean": statistics.fmean,
    "median": statistics.median,
    "max": max,
    "min": min,
    "earliest": lambda values: values[0],
    "latest": lambda values: values[-1],
}


@given(records, st.sampled_from(sorted(AGGREGATIONS)))
def test_aggregations_are_pythons_own_over_arrival_and_key(rewards, aggregation):
    """Every one of them, to the last bit."""
    ordered = sorted(rewards, key=lambda record: (record.at_ms, record.key))
    joined = join(rewards, RewardConfig(aggregation=aggregation))
    assert joined.value == PYTHONS_OWN[aggregation]([record.value for record in ordered])
    assert (joined.count, joined.first_at_ms) == (len(rewards), ordered[0].at_ms)


finite = st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(st.tuples(st.integers(0, 3), finite), min_size=1, max_size=9))
def test_every_finite_value_survives_the_store(given_values):
    """Written as text and read again it is the same to the last bit; a sum beyond all numbers is none."""
    sent = [(f"k{n}", f"{at}|{encode_reward_tail(v, 0, 'e', '')}") for n, (at, v) in enumerate(given_values)]
    kept = decode_rewards(msgpack.packb([part for pair in sent for part in pair], use_bin_type=False))

    ordered = [v for _, v in sorted(given_values, key=lambda one: one[0])]
    assert [record.value.hex() for record in kept] == [value.hex() for value in ordered]
    exact = sum(map(Fraction, ordered), Fraction())
    found = join(kept, RewardConfig(aggregation="sum")).value
    assert math.isnan(found) or Fraction(found) == Fraction(float(exact))
    for aggregation, place in (("max", max), ("min", min)):
        assert join(kept, RewardConfig(aggregation=aggregation)).value == place(ordered)
    middle = sorted(map(Fraction, ordered))[(len(ordered) - 1) // 2 : len(ordered) // 2 + 1]
    median = join(kept, RewardConfig(aggregation="median")).value
    assert middle[0] <= Fraction(median) <= middle[-1] if math.isfinite(median) else len(middle) == 2


@given(records, st.randoms(use_true_random=False), st.sampled_from(sorted(AGGREGATIONS)))
def test_the_order_in_which_rewards_are_listed_changes_no_bit(rewards, random, aggregation):
    """Whoever joins the same rewards gets the same number."""
    config = RewardConfig(aggregation=aggregation)
    shuffled = random.sample(rewards, len(rewards))
    assert join(rewards, config) == join(shuffled, config)


@pytest.mark.parametrize("aggregation", sorted(AGGREGATIONS))
def test_without_rewards_the_default_is_a_value_of_its_own(aggregation):
    """Marked by a count of 0."""
    joined = join([], RewardConfig(aggregation=aggregation, default=-0.25))
    assert joined == (-0.25, 0, None)


def test_every_aggregation_that_an_application_may_name_exists():
    """The configuration's list and the table are one."""
    from typing import get_args

    from sidecar.contracts.reward_section import Aggregation

    assert set(get_args(Aggregation)) == set(AGGREGATIONS) == set(PYTHONS_OWN)
