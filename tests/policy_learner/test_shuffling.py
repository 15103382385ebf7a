"""The order of a block: a permutation that depends on the block and on who is in it, on nothing else."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from policy_learner.learning.shuffling import order_of
from sidecar.contracts.scripts.publish import Batch

IDS = st.lists(st.text(min_size=1, max_size=8), max_size=30)
POSITIONS = st.integers(0, 2**50).map(lambda ms: f"{ms}-0")


@given(IDS, POSITIONS, st.integers(0, 255))
def test_everything_is_learnt_once(ids, first, partition):
    """Each place stands in the order once; entries of one decision stay together and in their order."""
    order = order_of(Batch(partition, first, "9-0", shuffled=True), ids)
    assert sorted(order) == list(range(len(ids)))
    drawn = [ids[place] for place in order]
    for one in set(ids):
        places = [place for place in order if ids[place] == one]
        assert places == sorted(places)
        at = drawn.index(one)
        assert drawn[at : at + len(places)] == [one] * len(places)


@given(IDS, POSITIONS)
def test_without_shuffling_the_order_is_the_logs(ids, first):
    """As every batch of a log from before there was any."""
    assert order_of(Batch(0, first, "9-0"), ids) == list(range(len(ids)))


@given(st.lists(st.text(min_size=1, max_size=8), unique=True, max_size=20), POSITIONS, st.data())
def test_whoever_is_gone_changes_nothing_for_the_others(ids, first, data):
    """A row that was deleted, or refused, leaves the rest in their order."""
    left = data.draw(st.lists(st.sampled_from(ids), unique=True) if ids else st.just([]))
    left = [one for one in ids if one in left]
    batch = Batch(0, first, "9-0", shuffled=True)
    all_in_order = [ids[place] for place in order_of(batch, ids)]
    assert [left[place] for place in order_of(batch, left)] == [one for one in all_in_order if one in left]


def test_every_order_is_as_likely_as_any_other():
    """Over 6,000 blocks each of the 24 orders of four decisions comes up about 250 times."""
    found = Counter(
        tuple(order_of(Batch(0, f"{n}-0", "9-0", shuffled=True), ["a", "b", "c", "d"])) for n in range(6000)
    )
    assert len(found) == 24
    assert sum((count - 250) ** 2 / 250 for count in found.values()) < 49.7  # chi-squared, 23, p = 0.001


def test_blocks_and_partitions_have_orders_of_their_own():
    """The same decisions elsewhere come in another order."""
    ids = [str(n) for n in range(20)]
    orders = {tuple(order_of(Batch(p, f"{n}-0", "9-0", True), ids)) for p in range(5) for n in range(5)}
    assert len(orders) == 25
