"""Joiners beside the learner: every decision is closed once, whoever is there, dies or comes back."""

from __future__ import annotations

from collections import Counter

import pytest

from policy_learner.join.source import close_due, find_due
from policy_learner.joiner import Joiner
from policy_learner.loop import finalise
from policy_learner.settings import LearnerSettings
from sidecar.contracts.upkeep import read_books
from tests.policy_learner.walking import rows, steps, stop
from tests.policy_learner.world import World

LEASE_MS = 300_000
SETTINGS = LearnerSettings(lease_s=LEASE_MS / 1000, publish_every_examples=1, archive_rows=1000)


def finalised(world):
    """Ids in the example streams, all of them."""
    entries = [entry for keys in world.partitions for entry in world.client.xrange(keys.examples)]
    return Counter(fields[b"i"].decode() for _, fields in entries)


def balanced(world):
    return all(read_books(world.scripts, k, count_rewards=True).balanced for k in world.partitions)


PARTITIONS = [1, 4, pytest.param(64, marks=pytest.mark.slow)]


def pass_time(world, ms):
    world.move(round(ms))
    world.now_s += ms / 1000


@pytest.mark.parametrize("partitions", PARTITIONS)
def test_joiners_share_the_work_and_the_learner_has_none_of_it(store, data_folder, partitions):
    """Two joiners close everything between them; the learner trains on it, and closes nothing itself."""
    world = World(store, data_folder, partitions, SETTINGS)
    one, other = world.helper(Joiner, "one"), world.helper(Joiner, "other")
    one.step(), other.step()
    learner = world.learner()
    events = world.shop(60)
    assert finalise(learner) == 0
    pass_time(world, LEASE_MS / 2)  # the first hears of what the other took from it
    done = one.step() + other.step()
    assert done == len(events)
    assert finalised(world) == Counter(event.decision_id for event in events)
    assert sorted((*one.report().partitions, *other.report().partitions)) == list(range(partitions))
    steps(learner)
    stop(learner)
    assert Counter(row["decision_id"] for row in rows(world)) == Counter(e.decision_id for e in events)
    assert balanced(world)


@pytest.mark.parametrize("partitions", PARTITIONS)
def test_what_a_dead_joiner_had_is_closed_by_another_and_without_one_by_the_learner(
    store, data_folder, partitions
):
    """After the lease, at the latest; nothing is closed twice when the dead one was only paused."""
    world = World(store, data_folder, partitions, SETTINGS)
    paused, other, learner = world.helper(Joiner, "paused"), world.helper(Joiner, "other"), world.learner()
    paused.step()
    first = world.shop(30)
    pass_time(world, LEASE_MS)
    assert other.step() == 30
    second = world.shop(30)
    pass_time(world, LEASE_MS)
    assert finalise(learner) == 30
    paused.step()
    assert finalised(world) == Counter(event.decision_id for event in (*first, *second))
    assert balanced(world)


def test_everybody_at_once_on_the_same_ids_closes_each_once(store, data_folder):
    """Leases are not what keeps the promise: two joiners and a learner that found the same ids."""
    world = World(store, data_folder, 4, SETTINGS)
    events = world.shop(40)
    found = [find_due(store, world.partitions, 100) for _ in range(3)]
    for ways in zip(*found, strict=True):
        for waiting in ways:
            close_due(world.scripts, [waiting], 3, 86_400_000)
    assert finalised(world) == Counter(event.decision_id for event in events)
    assert balanced(world)


def test_an_orderly_end_leaves_the_partitions_to_others_at_once(store, data_folder):
    """Without waiting for the lease to end."""
    world = World(store, data_folder, 4, SETTINGS)
    going, learner = world.helper(Joiner, "going"), world.learner()
    going.step()
    world.shop(10)
    assert finalise(learner) == 0
    going.stop()
    world.now_s += LEASE_MS / 2000  # the store's clock has not moved: the lease would not be over
    assert finalise(learner) == 10
