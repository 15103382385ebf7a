"""Replay of a log: nothing of an untouched one differs, and whatever was tampered with is named."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import redis

from policy_learner.archive import chain
from policy_learner.models.replay import replay
from tests.policy_learner.walking import rows, steps, stop
from tests.policy_learner.world import HORIZON_MS, World


@pytest.fixture
def world(store: redis.Redis, data_folder) -> World:
    return World(store, data_folder)


@pytest.fixture
def replayable(world):
    """A log of two runs, some of it scored by weights."""
    for _ in range(2):
        learner = world.learner()
        for _ in range(3):
            world.shop(15)
            steps(learner)
        stop(learner)
    return world


def test_replay_of_an_untouched_log_finds_nothing(replayable):
    """Every draw, score, pmf and version comes out the same."""
    result = replay(replayable.application, replayable.data)
    assert result.clean, result.told
    counts = result.counts
    assert counts["decisions"] == counts["drawn"] == counts["scored"] == counts["examples"] == 90
    assert counts["versions"] == replayable.weights().header.version


def test_replay_counts_imports_and_trains_on_them(world):
    """Of somebody else's decisions the draw cannot be done again; their training can."""
    learner = world.learner()
    world.decide(
        5,
        source="import",
        scores=b"",
        seed="",
        exploration=type(world.event().exploration)(scheme="logged"),
        propensity=0.25,
    )
    world.move(HORIZON_MS + 1)
    steps(learner)
    stop(learner)
    result = replay(world.application, world.data)
    assert result.clean, result.told
    assert (result.counts["imported"], result.counts["drawn"], result.counts["examples"]) == (5, 0, 5)
    assert {row["scores"] for row in rows(world)} == {row["pmf"] for row in rows(world)} == {None}


def tamper(world, column, change):
    """Alter one column of one file of the log, and leave everything else as it is."""
    folder = chain.dataset_folder(world.log, "decisions", "world")
    path = sorted(folder.glob("*/*.parquet"))[0]
    table = pq.read_table(path, partitioning=None)
    values = table[column].to_pylist()
    values[0] = change(values[0])
    at = table.schema.get_field_index(column)
    field = table.schema.field(column)
    pq.write_table(table.set_column(at, field, pa.array(values, field.type)), path)


@pytest.mark.parametrize(
    ("column", "change", "what"),
    [
        ("arm", lambda arm: "sku-9", {"row", "draw"}),
        ("scores", lambda scores: [*scores[:-1], scores[-1] + 1e-6], {"row"}),
        ("pmf", lambda pmf: pmf[::-1] if pmf[0] != pmf[-1] else [*pmf[:-1], 0.5], {"pmf"}),
        ("propensity", lambda p: p * (1 + 1e-15), {"row", "draw"}),
        ("reward", lambda reward: reward + 1.0, {"weights"}),
        ("event", lambda event: event.replace(b"sku-", b"sku_"), {"row", "draw", "weights"}),
    ],
)
def test_replay_notices_what_was_tampered_with(replayable, column, change, what):
    """One value of one row altered is a mismatch that is named."""
    tamper(replayable, column, change)
    assert what & set(replay(replayable.application, replayable.data).mismatches)


def test_replay_notices_a_file_that_is_gone(replayable):
    """The chain is broken where a file is missing."""
    folder = chain.dataset_folder(replayable.log, "decisions", "world")
    chain.links(folder, 0)[0].path.unlink()
    assert replay(replayable.application, replayable.data).mismatches["chain"]
