"""A thousand seeds of the simulation; in four classes, which workers share."""

from __future__ import annotations

from collections import Counter
from typing import ClassVar

import pytest

from tests.faults.simulate import play, store_in_memory

SEEDS, CLASSES, BATCHES = 1000, 4, 5
"""Each class plays a quarter of the seeds, in so many batches."""


@pytest.fixture(scope="module")
def memory():
    with store_in_memory() as (client, root):
        yield client, root


class Quarter:
    number: ClassVar[int]

    @pytest.mark.parametrize("batch", range(BATCHES))
    def test_every_seed_keeps_the_invariants(self, batch, memory):
        """Whoever dies, pauses or is not heard: I1 to I9 hold at rest."""
        size = SEEDS // (CLASSES * BATCHES)
        first = (self.number * BATCHES + batch) * size
        happened = Counter()
        for seed in range(first, first + size):
            happened.update(play(seed, *memory).summary())
        assert all(
            happened[fault] for fault in ("paused", "killed", "fenced", "disk full", "lost on the wire")
        )


class TestFirstQuarter(Quarter):
    number = 0


class TestSecondQuarter(Quarter):
    number = 1


class TestThirdQuarter(Quarter):
    number = 2


class TestFourthQuarter(Quarter):
    number = 3


def test_a_seed_is_the_same_every_time(memory):
    """What failed once can be looked at again."""
    runs = [play(seed, *memory) for seed in (11, 12, 11, 12)]
    assert runs[0].summary() == runs[2].summary()
    assert runs[1].summary() == runs[3].summary()
    assert runs[0].moments == runs[2].moments != runs[1].moments
