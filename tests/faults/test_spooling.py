"""Seeds of the spool. More run by hand: ``python -m tests.faults.spooling --seeds 0:5000``."""

from __future__ import annotations

from collections import Counter

from sidecar.contracts.store import Scripts
from tests.faults.simulate import store_in_memory
from tests.faults.spooling import play


def test_what_was_answered_is_in_the_store_once_whatever_broke():
    """Every invariant in every seed, and the seeds are not idle."""
    totals: Counter[str] = Counter()
    with store_in_memory() as (client, _):
        scripts = Scripts.on(client)
        for seed in range(60):
            totals += play(seed, scripts)
    assert min(totals[word] for word in ("OK", "DUP", "died")) > 30, totals


def test_a_seed_plays_the_same_again():
    """Else nobody could look into one that fails."""
    with store_in_memory() as (client, _):
        scripts = Scripts.on(client)
        assert play(7, scripts) == play(7, scripts)
