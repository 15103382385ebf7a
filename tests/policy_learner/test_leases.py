"""Leases: partitions are shared out evenly, and those of whoever died go to others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_learner.join.leases import NOBODY, give_back, holders, take, wishes
from sidecar.contracts.scripts.working import decode_lease
from tests.policy_learner.world import World

LEASE_MS = 300_000


@given(st.lists(st.sampled_from(["", "a", "b", "c", "d"]), min_size=1, max_size=64), st.data())
def test_whoever_takes_turns_in_whatever_order_ends_with_an_even_share(held, data):
    """Nobody is left out while another has two more, every partition has somebody, and then it rests."""
    for _ in range(2):
        for me in data.draw(st.permutations("abcd")):
            for wish in wishes(held, me):
                held[wish.place] = me
    counts = sorted(held.count(name) for name in "abcd")
    assert NOBODY not in held
    assert counts[-1] - counts[0] <= 1
    assert all(not wish.of for me in "abcd" for wish in wishes(held, me))


@pytest.mark.parametrize("partitions", [1, 4, 64])
def test_a_newcomer_gets_its_share_and_the_share_of_the_dead_goes_to_the_living(
    store, data_folder, partitions
):
    """Taken while free, levelled with who came later, kept while renewed, and over when it is not."""
    world = World(store, data_folder, partitions)

    def turn(me):
        return len(take(world.scripts, world.partitions, me, LEASE_MS))

    assert turn("a") == partitions
    assert turn("b") == partitions // 2
    assert turn("a") == partitions - partitions // 2
    world.move(LEASE_MS // 2)
    assert turn("b") == partitions // 2
    world.move(LEASE_MS // 2)
    expected = {"b", NOBODY} if partitions > 1 else {NOBODY}
    assert set(holders(store, world.partitions)) == expected, "the lease of the one that fell silent is over"
    assert turn("b") == partitions
    give_back(world.scripts, world.partitions, "b")
    assert set(holders(store, world.partitions)) == {NOBODY}


def test_a_lease_is_given_back_by_its_holder_only(store, data_folder):
    """One that was paused, and whose partition somebody else has by now, takes nothing away from that one."""
    world = World(store, data_folder, 1)
    take(world.scripts, world.partitions, "a", LEASE_MS)
    world.move(LEASE_MS)
    take(world.scripts, world.partitions, "b", LEASE_MS)
    give_back(world.scripts, world.partitions, "a")
    assert holders(store, world.partitions) == ["b"]


@pytest.mark.parametrize("stored", [None, b"", b"a", b"|", b"a|", b"a|soon", b"\xff|x"])
def test_foreign_bytes_are_nobodys_lease(store, data_folder, stored):
    """Whatever lies there, the next one takes it."""
    world = World(store, data_folder, 1)
    if stored is not None:
        store.set(world.partitions[0].lease, stored)
        assert stored == b"\xff|x" or decode_lease(stored) is None
    assert holders(store, world.partitions) == [NOBODY]
    assert take(world.scripts, world.partitions, "a", LEASE_MS) == world.partitions
