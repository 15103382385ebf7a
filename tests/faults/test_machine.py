"""The scripts of all partitions against models of them."""

from __future__ import annotations

from collections import Counter

import pytest

from sidecar.contracts.store import Scripts
from tests.faults.machine import PartitionsMachine, explore
from tests.sidecar.contracts.join_machine import scripts_with

WALKS = {1: 8, 4: 8, 64: 6}


@pytest.mark.parametrize("partitions", WALKS)
def test_every_walk_over_the_scripts_ends_as_in_the_models(store, partitions, monkeypatch):
    """Join, publications and books, whatever is called in whatever order, for any number of partitions.

    And the walks go everywhere: decisions of all modes, activated and not, corrected, early, not logged.
    """
    met = Counter()
    tear_down = PartitionsMachine.teardown

    def count(machine):
        for model in machine.models:
            met.update(kind for kind, *_ in (*model.examples.values(), *model.lessons))
            met.update(model.counters)
        tear_down(machine)

    monkeypatch.setattr(PartitionsMachine, "teardown", count)
    explore(Scripts.on(store), partitions, WALKS[partitions])

    wanted = {
        "F",
        "N",
        "A",
        "C",
        "E",
        "act",
        "act_dup",
        "dec_thinned",
        "rew_late",
        "rew_contradicts",
        "rew_over",
    }
    assert wanted <= {name for name, times in met.items() if times}, met


@pytest.mark.slow
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
        ("finalise", "note('fin')", "note('fin')\n  note('fin')"),
        ("decide", "if deferred == '' and mode", "if mode"),
        ("reward", "(mode == 'e' and held > 0)", "false"),
        ("reward", "if mode == 'a' then\n    teach", "if false then\n    teach"),
        ("activate", "if deferred == '' then return told", "if false then return told"),
    ],
)
def test_a_wrong_publication_count_or_lesson_is_caught(store, script, right, wrong):
    """What is looked at here and not in the model test of one partition; and every mode is walked through."""
    scripts = scripts_with(store, script, right, wrong)  # outside: a text that is not there proves nothing
    with pytest.raises(AssertionError):
        explore(scripts, 4, WALKS[4])


def test_a_clock_that_went_back_before_anything_happened_is_no_surprise(store):
    """The guard begins with the first script: what was decided then is due by the clock of then."""
    machine = PartitionsMachine(Scripts.on(store), 1)
    machine.jump(jumps=-1, some=[0])
    machine.decide(batch=[(0, "", "x", 0)])
    for _ in range(2):
        machine.jump(jumps=1, some=[0], then_close=True)
    machine.streams_hold_what_the_models_hold()
    machine.the_books_are_zero()
