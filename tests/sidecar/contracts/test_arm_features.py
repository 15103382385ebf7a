"""Columns of features of single arms: what goes in comes out, small, and what is broken is refused."""

from __future__ import annotations

import random

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from sidecar.contracts.application import Arm
from sidecar.contracts.arm_features import Column, Levels, column_of, levels_of, values_of, with_features
from sidecar.contracts.errors import BadEvent

NUMBERS = some.floats(-1e9, 1e9, width=32)
VALUES = some.none() | some.text(max_size=3) | some.booleans() | NUMBERS


@given(some.lists(VALUES, max_size=40))
def test_a_column_is_what_it_was_made_of(values):
    """Through MessagePack too; 1.0 and True stay apart, and so do 0.0 and None."""
    column = column_of(values)
    if column is None:
        assert not [value for value in values if value is not None]
        return
    travelled = msgspec.msgpack.decode(msgspec.msgpack.encode(column), type=Column)
    found = values_of(travelled, len(values))
    assert [(type(value), value) for value in found] == [(type(value), value) for value in values]


def test_numbers_are_rounded_as_the_trainer_would():
    """What is logged is what was scored: 32 bits."""
    assert values_of(column_of([0.1, 7]), 2) == [float(np.float32(0.1)), 7.0]


def test_a_column_is_small():
    """Five thousand arms: a byte each for a few categories, two for many, four for numbers."""
    few = levels_of([f"level {n % 7}" for n in range(5000)])
    many = levels_of([f"level {n % 300}" for n in range(5000)])
    numbers = column_of([float(n) for n in range(5000)])
    assert (len(few.codes), len(many.codes), len(numbers)) == (5000, 10_000, 20_000)
    assert values_of(many, 5000)[299] == "level 299"


def test_fetched_features_lie_over_the_arms_own():
    """But where an arm has none in the column, its own stays."""
    arms = (Arm("a", {"price": 1.0, "kind": "hat"}), Arm("b", {"price": 2.0}))
    found = with_features(arms, {"price": column_of([0.5, None]), "new": column_of([None, True])})
    assert found == (Arm("a", {"price": 0.5, "kind": "hat"}), Arm("b", {"price": 2.0, "new": True}))
    assert with_features(arms, {}) is arms


@pytest.mark.parametrize(
    ("column", "complaint"),
    [
        (b"\0\0\0\0", "4 bytes for 2 arms: legal is 4 each"),
        (Levels(("x",), b"\1"), "1 bytes for 2 arms: legal is 1 each"),
        (Levels(("x",), b"\1\2"), "code is 2: legal are 0 to 1"),
        (Levels(tuple(range(300)), b"\1\0"), "legal is 2 each"),
    ],
)
def test_a_broken_column_is_refused(column, complaint):
    """Of another length, or pointing nowhere."""
    with pytest.raises(BadEvent, match=complaint):
        values_of(column, 2)


@pytest.mark.parametrize("seed", range(20))
def test_truth_makes_the_same_column_the_quick_way(seed):
    """Levels in the order in which they come, as for values of any kind."""
    rng = random.Random(seed)
    values = [rng.choice((True, False, None)) for _ in range(rng.randrange(1, 9))]
    if any(value is not None for value in values):
        assert column_of(values) == levels_of(values)
        assert values_of(column_of(values), len(values)) == values
