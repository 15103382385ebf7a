"""Rows that are scored together have the bits of rows that are scored alone."""

from __future__ import annotations

import random

import numpy as np
import pytest

from sidecar.contracts.application import Arm, Exploration
from sidecar.contracts.arm_features import Column, Columns, Levels, column_of, levels_of, with_features
from sidecar.contracts.catalogue import catalogue_of
from sidecar.contracts.errors import BadEvent, PolicyError
from sidecar.contracts.weights import Weights, WeightsHeader
from sidecar.contracts.wire import ScoreRequest, ScoreRow
from sidecar.policy.arm_table import compile_arms
from sidecar.policy.features import compile_context
from sidecar.policy.held_arms import ArmTables
from sidecar.policy.pipeline import score
from sidecar.policy.stacked import TERMS_AT_ONCE, blocks, stack

N_ARMS = 7
EXPLORATIONS = (Exploration("epsilon_greedy", 0.2, 0.01), Exploration("softmax", 0.0, 0.05, temperature=0.7))
CATALOGUE = catalogue_of(
    tuple(
        Arm(f"a{place}", {"price": float(place), "brand": "b"} if place % 2 else {"new": True})
        for place in range(N_ARMS)
    )
)
VALUES = (1.0, 2.5, "x", "yy", True, False, -3e8, 0.0)


def weights_of(interactions: tuple[str, ...]) -> Weights:
    values = np.random.default_rng(5).normal(size=1 << 12).astype(np.float32)
    header = WeightsHeader(
        version=3, bits=12, interactions=interactions, positions=("0-0",), trained_until_ms=1, epoch=1,
        examples=9,
    )  # fmt: skip
    return Weights(header, values)


def columns(rng: random.Random, n_arms: int) -> Columns:
    """Features that arms have of their own, and new ones; levels and numbers; some missing."""
    made = {
        "price": [rng.choice((1.5, None, 7.0)) for _ in range(n_arms)],
        "scarce": [rng.choice((True, False, None)) for _ in range(n_arms)],
        "zone": [rng.choice(("n", 1.0, True)) for _ in range(n_arms)],
    }
    found = {name: column_of(values) for name, values in made.items() if rng.random() < 0.6}
    return {name: column for name, column in found.items() if column is not None}


def row(rng: random.Random) -> ScoreRow:
    context = {f"f{place}": rng.choice(VALUES) for place in range(rng.randrange(6))}
    arms = rng.choice((None, None, (0, 2, 5), (6,)))
    given = (Arm("z"), CATALOGUE.arms[1]) if rng.random() < 0.1 else ()
    n_arms = len(given) or (len(arms) if arms else N_ARMS)
    return ScoreRow(context, arms, given, rng.randrange(2), columns(rng, n_arms))


@pytest.mark.parametrize("interactions", [(), ("ca",), ("cc", "ca", "aa")])
@pytest.mark.parametrize("n_rows", [1, 2, 150])
def test_a_row_has_the_same_bits_alone_and_among_others(interactions: tuple[str, ...], n_rows: int) -> None:
    """Scores and pmf, whatever the others are: as many rows out as in, in their order."""
    rng = random.Random(f"{interactions} {n_rows}")
    rows, weights, tables = tuple(row(rng) for _ in range(n_rows)), weights_of(interactions), ArmTables()
    tables.of(CATALOGUE)
    together = score(ScoreRequest(rows, EXPLORATIONS, CATALOGUE.version), weights, tables).rows
    alone = tuple(
        score(ScoreRequest((one,), EXPLORATIONS, CATALOGUE.version), weights, tables).rows[0] for one in rows
    )
    assert together == alone


@pytest.mark.parametrize("interactions", [(), ("ca",), ("cc", "ca", "aa")])
@pytest.mark.parametrize("arms", [None, (0, 2, 5), (6,)])
def test_few_rows_are_one_block_whatever_their_columns(
    interactions: tuple[str, ...], arms: tuple[int, ...] | None
) -> None:
    """A column that others have is padding in a row's stack, which changes no bit; what it covers stays."""
    rng = random.Random(f"{interactions} {arms}")
    n_arms, tables, weights = len(arms or CATALOGUE.arms), ArmTables(), weights_of(interactions)
    rows = tuple(
        ScoreRow({"hour": rng.uniform(0, 9), "tier": "a"}, arms, (), place % 2, columns(rng, n_arms))
        for place in range(12)
    )
    assert len({tuple(one.arm_features) for one in rows}) > 2
    assert [one.places for one in blocks(rows, tables.of(CATALOGUE), interactions)] == [[*range(12)]]
    together = score(ScoreRequest(rows, EXPLORATIONS, CATALOGUE.version), weights, tables).rows
    alone = [score(ScoreRequest((one,), EXPLORATIONS, CATALOGUE.version), weights, tables) for one in rows]
    assert [*together] == [one.rows[0] for one in alone]


@pytest.mark.parametrize(("n_columns", "n_blocks"), [(1, 1), (5, 2), (12, 2)])
def test_many_rows_are_a_block_for_each_set_of_columns(n_columns: int, n_blocks: int) -> None:
    """Where padding would take more time than another stack, or a stack is full of rows that are alike."""
    scarce: Columns = {f"scarce{place}": levels_of([True] * N_ARMS) for place in range(n_columns)}
    rows = [ScoreRow({"hour": 1.0}, None, (), 0, scarce if place % 2 else {}) for place in range(1000)]
    found = [one.places for one in blocks(rows, ArmTables().of(CATALOGUE), ("ca",))]
    one_stack = len(rows) * N_ARMS * (3 + n_columns) * 2
    assert (one_stack <= TERMS_AT_ONCE) == (n_columns < 12)
    assert found == ([[*range(1000)]] if n_blocks == 1 else [[*range(0, 1000, 2)], [*range(1, 1000, 2)]])


@pytest.mark.parametrize("n_rows", [2, 33])
def test_rows_with_the_same_features_have_the_bits_that_they_have_alone(n_rows: int) -> None:
    """What is hashed and checked a feature at a time: the arrays beside each row's own."""
    rng = random.Random(n_rows)
    arms = ArmTables().of(CATALOGUE)
    rows = [
        ScoreRow(
            {
                "tier": rng.choice("abc"),
                "hour": rng.uniform(-9, 9),
                "x": "é\n=",
                "new": rng.choice((True, False)),
                "age": "unknown" if place == 1 else rng.choice((35.5, True, "unknown")),
                "basket": 2.5 if place == 0 else "none",
                "late": "no" if place == 0 else rng.choice((1.0, True)),
            },
            arm_features={"scarce": levels_of([rng.choice((True, 1.0, "x")) for _ in range(N_ARMS)])},
        )
        for place in range(n_rows)
    ]
    found = stack(rows, arms)
    for place, one in enumerate(rows):
        own = compile_context(one.context)
        merged = compile_arms(with_features(CATALOGUE.arms, one.arm_features))
        assert found.context_hashes[place].tolist() == own.hashes.tolist()
        assert found.context_values[place].tobytes() == own.values.tobytes()
        width = merged.hashes.shape[1]
        assert found.arm_hashes[place, :, :width].tolist() == merged.hashes.tolist()
        assert found.arm_values[place, :, :width].tolist() == merged.values.tolist()
        assert not found.arm_values[place, :, width:].any()


@pytest.mark.parametrize("bad", [1.1e9, -1.1e9, float("nan"), float("inf")])
def test_a_number_outside_its_range_is_named_among_rows_that_are_alike(bad: float) -> None:
    rows = [ScoreRow({"tier": "a", "hour": value}) for value in (1.0, bad, 2.0)]
    with pytest.raises(BadEvent, match=f"feature 'hour' is {bad}"):
        stack(rows, ArmTables().of(CATALOGUE))


@pytest.mark.parametrize(
    ("column", "said"),
    [
        (Levels(("a",), b"\x01" * (N_ARMS - 1)), "column of 6 bytes for 7 arms"),
        (Levels(("a",), b"\x02" * N_ARMS), "column's code is 2"),
        (Levels((), b"\x01" * N_ARMS), "column's code is 1"),
        (b"\0" * 5, "column of 5 bytes"),
    ],
)
def test_a_broken_column_is_named_among_rows_that_are_alike(column: Column, said: str) -> None:
    rows = [ScoreRow({}, arm_features={"x": one}) for one in (Levels(("a",), b"\x01" * N_ARMS), column)]
    with pytest.raises(BadEvent, match=said):
        stack(rows, ArmTables().of(CATALOGUE))


@pytest.mark.parametrize(
    "bad",
    [
        ScoreRow({"x": 1e10}),
        ScoreRow({"x": float("nan")}),
        ScoreRow({}, (99,)),
        ScoreRow({}, ()),
        ScoreRow({}, None, (), 7),
        ScoreRow({}, arm_features={"price": b"1234"}),
    ],
)
def test_what_is_refused_alone_is_refused_among_others(bad: ScoreRow) -> None:
    """A broken row, twice so that it finds company."""
    request = ScoreRequest((ScoreRow({}), bad, bad), EXPLORATIONS, CATALOGUE.version, CATALOGUE.arms)
    with pytest.raises((BadEvent, PolicyError)):
        score(request, weights_of(("ca",)), ArmTables())
