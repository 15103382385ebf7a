"""A thousand seeds of the simulation; in two classes, so that two workers share them."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.faults.simulate import play, store_in_memory

SEEDS, BATCHES = 1000, 10


@pytest.fixture(scope="module")
def memory():
    with store_in_memory() as (client, root):
        yield client, root


def play_batch(batch, memory):
    seeds = range(batch * SEEDS // BATCHES, (batch + 1) * SEEDS // BATCHES)
    happened = Counter()
    for seed in seeds:
        happened.update(play(seed, *memory).summary())
    assert all(happened[fault] for fault in ("paused", "killed", "fenced", "disk full", "lost on the wire"))


class TestFirstHalf:
    @pytest.mark.parametrize("batch", range(BATCHES // 2))
    def test_every_seed_keeps_the_invariants(self, batch, memory):
        """Whoever dies, pauses or is not heard: I1 to I9 hold at rest."""
        play_batch(batch, memory)


class TestSecondHalf:
    @pytest.mark.parametrize("batch", range(BATCHES // 2, BATCHES))
    def test_every_seed_keeps_the_invariants(self, batch, memory):
        """Whoever dies, pauses or is not heard: I1 to I9 hold at rest."""
        play_batch(batch, memory)


def test_a_seed_is_the_same_every_time(memory):
    """What failed once can be looked at again."""
    runs = [play(seed, *memory) for seed in (11, 12, 11, 12)]
    assert runs[0].summary() == runs[2].summary()
    assert runs[1].summary() == runs[3].summary()
    assert runs[0].moments == runs[2].moments != runs[1].moments
