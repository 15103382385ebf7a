"""The arithmetic of capacity: by hand for round figures, with one's own where there are some."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from decision_service.capacity.costs import Costs, of_bench
from decision_service.capacity.showing import rows
from decision_service.capacity.sizing import Demand, bytes_held, need
from decision_service.cli.main import root
from sidecar.contracts.errors import BadSettings

ROUND = Costs(
    service_us=100.0,
    sidecar_us=20.0,
    store_us=30.0,
    store_learning_us=20.0,
    learner_per_s=10_000.0,
    pending_bytes=1000.0,
    session_bytes=200.0,
    answer_bytes=900.0,
    tombstone_bytes=10.0,
    stream_bytes=1000.0,
)


def test_memory_is_how_long_times_how_large():
    """800 B for 100 s, 200 B of the session for 1,100 s, 900 and 10 B for 1,000 s, 90 s of stream."""
    demand = Demand(decisions_per_s=1.0, horizon_s=100.0, tombstone_s=1000.0)
    assert bytes_held(demand, ROUND) == 80_000 + 220_000 + 900_000 + 10_000 + 90_000


def test_what_one_learner_cannot_take_is_not_logged():
    """8,000 a second of 80,000: a tenth, or ten applications; the store's memory is that of the tenth."""
    found, tenth = (need(Demand(decisions_per_s=rate), ROUND) for rate in (80_000.0, 8_000.0))
    assert (found.logged, found.applications) == (0.1, 10)
    assert (tenth.logged, tenth.applications) == (1.0, 1)
    assert found.store_bytes == tenth.store_bytes


def test_services_grow_with_what_is_asked():
    """80,000 × 100 µs are 8 cores, at 60 % of each 14 pods; the store's: 2.4 + 0.16 at half of each."""
    found = need(Demand(decisions_per_s=80_000.0, tombstone_s=1.0, horizon_s=1.0), ROUND)
    assert (found.pods, found.primaries) == (14, 6)
    assert found.partitions == 32
    assert need(Demand(decisions_per_s=1.0), ROUND).pods == 2


def test_little_memory_is_more_primaries():
    few, many = (need(Demand(decisions_per_s=1000.0, node_gb=gb), ROUND) for gb in (1000.0, 1.0))
    assert few.primaries == 1
    assert many.primaries >= few.store_bytes / 0.6e9


def test_every_need_is_shown():
    """Nothing is worked out that nobody is told of."""
    demand = Demand(decisions_per_s=1e6)
    said = " ".join(value for _, value, _ in rows(demand, ROUND, need(demand, ROUND)))
    assert "125 applications" in said
    assert "167 (200.0 cores)" in said


def test_ones_own_measurements_take_the_place_of_ours(tmp_path: Path):
    """Those that are there; the rest stays."""
    told = {
        "serving.decisions_per_s": {"value": 1.0, "micros": {"service": 55.5, "store": 11.0}},
        "learner.pending_bytes": {"value": 2000.0},
    }
    (tmp_path / "bench.json").write_text(json.dumps(told))
    found = of_bench(tmp_path / "bench.json")
    assert (found.service_us, found.store_us, found.pending_bytes) == (55.5, 11.0, 2000.0)
    assert found.sidecar_us == Costs().sidecar_us


@pytest.mark.parametrize(
    "text", ["", "[]", '{"learner.pending_bytes": 3}', '{"learner.pending_bytes": {"value": "x"}}']
)
def test_a_file_that_is_none_is_said_to_be(text: str, tmp_path: Path):
    (tmp_path / "bench.json").write_text(text)
    with pytest.raises(BadSettings, match="not what `make bench` writes"):
        of_bench(tmp_path / "bench.json")


def test_an_application_says_its_horizon():
    """And what is typed stands above it."""
    said = CliRunner().invoke(
        root(), ["capacity", "--decisions-per-second", "1000", "--app", "examples/shop"]
    )
    assert "horizon 2 s" in " ".join(said.output.split())
    typed = ["--app", "examples/shop", "--horizon", "60"]
    said = CliRunner().invoke(root(), ["capacity", "--decisions-per-second", "1000", *typed])
    assert "horizon 60 s" in " ".join(said.output.split())
