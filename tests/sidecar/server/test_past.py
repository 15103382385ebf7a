"""Versions that were served lately are put together again, bit for bit, as long as there is room for them."""

from __future__ import annotations

import numpy as np
import pytest

from sidecar.contracts.deltas import Summed, encode_delta, summed
from sidecar.contracts.weights import WeightsHeader, encode_weights, weights_of
from sidecar.server.past import Past

BITS = 10
BASE_BYTES = 4 << BITS


def version_of(number: int, values: np.ndarray) -> Summed:
    header = WeightsHeader(
        version=number, bits=BITS, interactions=(), positions=(), trained_until_ms=0, epoch=1, examples=0
    )
    return summed(encode_weights(weights_of(header, values)))


@pytest.fixture
def history() -> list[Summed]:
    """Forty versions; from each to the next a few weights change."""
    rng = np.random.default_rng(1)
    values, found = np.zeros(1 << BITS), []
    for number in range(1, 41):
        values = values.copy()
        values[rng.integers(0, 1 << BITS, 5)] = rng.normal(size=5)
        found.append(version_of(number, values))
    return found


def lived(history: list[Summed], most_bytes: int, step: int = 1) -> Past:
    """As a container lives through it that looks at every ``step``-th version, and gets some deltas twice."""
    past = Past(most_bytes)
    past.begin(encode_weights(history[0].weights), 1)
    for at in range(0, len(history) - step, step):
        first = max(at - 1, 0)
        ways = zip(history[first : at + step], history[first + 1 : at + step + 1], strict=True)
        past.go_on(history[at + step], [encode_delta(*way) for way in ways])
    return past


@pytest.mark.parametrize("step", [1, 3])
def test_every_version_is_found_as_it_was(history, step):
    """Those too that came between two looks."""
    past = lived(history, 10**9, step)
    for one in history:
        found = past.find(one.weights.header.version)
        assert found.header == one.weights.header
        np.testing.assert_array_equal(found.values.view(np.uint32), one.weights.values.view(np.uint32))


def test_what_is_kept_is_bounded_and_the_oldest_is_forgotten_first(history):
    past = lived(history, 3 * BASE_BYTES)
    known = [one.weights.header.version for one in history if past.find(one.weights.header.version)]
    assert known == list(range(known[0], 41))
    assert 1 < known[0] < 40
    assert sum(way.size_bytes for way in past._ways) <= 3 * BASE_BYTES


def test_without_room_there_is_the_newest_base_alone(history):
    past = Past(0)
    past.begin(history[0], 1)
    past.begin(history[7], 8)
    assert past.find(1) is None
    assert past.find(8) is history[7].weights


def test_whole_versions_are_kept_as_their_records(history):
    """Early in its life a model is published whole, since few of its weights are not zero."""
    past = Past(10**9)
    for one in history:
        past.begin(encode_weights(one.weights), one.weights.header.version)
    assert [past.find(one.weights.header.version).header for one in history] == [
        one.weights.header for one in history
    ]


def test_a_way_with_a_gap_leads_nowhere(history):
    """A version that nobody published is not made up."""
    past = Past(10**9)
    past.begin(history[0], 1)
    past.go_on(history[5], [encode_delta(history[4], history[5])])
    assert past.find(6) is None
    assert past.find(3) is None
    assert past.find(99) is None
