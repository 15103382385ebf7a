"""The scripts of all partitions against models of them."""

from __future__ import annotations

import pytest

from sidecar.contracts.store import Scripts
from tests.faults.machine import PartitionsMachine, explore
from tests.sidecar.contracts.join_machine import scripts_with

WALKS = {1: 30, 4: 30, 64: 15}


@pytest.mark.parametrize("partitions", WALKS)
def test_every_walk_over_the_scripts_ends_as_in_the_models(store, partitions):
    """Join, publications and books, whatever is called in whatever order, for any number of partitions."""
    explore(Scripts.on(store), partitions, WALKS[partitions])


@pytest.mark.parametrize(
    ("script", "right", "wrong"),
    [
        ("publish", "then return 'FENCED' end", "then return 'STALE' end"),
        (
            "publish",
            "if tonumber(stored[2] or '0') >= tonumber(version) then return 'STALE' end",
            "",
        ),
        ("publish", "'checksum', checksum, 'clock_ms', now)", "'clock_ms', now)"),
        ("reward", "count(c, 'rew_early')", "count(c, 'rew')"),
        ("finalise", "count(c, 'fin')", "count(c, 'fin', 2)"),
    ],
)
def test_a_wrong_publication_or_a_wrong_count_is_caught(store, script, right, wrong):
    """What is looked at here and not in the model test of one partition."""
    with pytest.raises(AssertionError):
        explore(scripts_with(store, script, right, wrong), 4, WALKS[4])


def test_a_clock_that_went_back_before_anything_happened_is_no_surprise(store):
    """The guard begins with the first script: what was decided then is due by the clock of then."""
    machine = PartitionsMachine(Scripts.on(store), 1)
    machine.jump(jumps=-1, place=0)
    machine.decide(client_key="", digest="x", place=0)
    for _ in range(2):
        machine.jump(jumps=1, place=0)
        machine.close()
    machine.streams_hold_what_the_models_hold()
    machine.the_books_are_zero()
