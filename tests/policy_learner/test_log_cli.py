"""``sidearm log`` as a user types it, on a log that the learner wrote."""

from __future__ import annotations

from collections import Counter

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from decision_service.cli.main import root
from policy_learner.archive import log_keeping
from policy_learner.archive.chain import dataset_folder
from policy_learner.loop import drain
from policy_learner.models.replay import replay
from sidecar.contracts.catalogue import encode_arms
from sidecar.contracts.errors import SidearmError
from sidecar.contracts.log_files import files_below
from sidecar.contracts.upkeep import read_books
from tests.policy_learner.world import ARMS, World


@pytest.fixture
def logged(store, data_folder, tmp_path):
    """A log of many files, its application's folder, and what was decided."""
    world = World(store, data_folder)
    learner = world.learner()
    events = []
    for _ in range(4):
        events += world.shop(9)
        drain(learner, lambda: True)
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "app.toml").write_text(
        'name = "world"\npartitions = 2\n[reward]\nhorizon_s = 60\n[model]\nbits = 10\n'
    )
    (folder / "arms.json").write_bytes(encode_arms(ARMS))
    return world, folder, events


def run(logged, *arguments):
    world, folder, _ = logged
    asked = [*arguments, "--app", str(folder), "--data", str(world.data.root)]
    return CliRunner().invoke(root(), asked, env={"COLUMNS": "200"})


def ids(world):
    files = files_below(dataset_folder(world.log, "decisions", "world"))
    return Counter(
        i for f in files for i in pq.ParquetFile(f).read(["decision_id"])["decision_id"].to_pylist()
    )


def test_a_compacted_log_replays_bit_for_bit_and_shows_its_decisions(logged):
    """Everything that reads the log reads it as before."""
    world, _, events = logged
    before = replay(world.application, world.data)
    result = run(logged, "log", "compact", "--all")
    assert result.exit_code == 0, result.output
    assert "compacted: decisions" in result.output
    assert ids(world) == Counter(event.decision_id for event in events)
    after = replay(world.application, world.data)
    assert after.clean, after.told
    assert after.counts == before.counts
    shown = run(logged, "show", events[0].decision_id)
    assert events[0].decision_id in shown.output
    assert "/g0000000" in shown.output


def test_the_learner_goes_on_and_resumes_behind_a_compacted_log(logged, store):
    """Its chain goes on, and a learner without checkpoint trains the whole of it again."""
    world, _, events = logged
    run(logged, "log", "compact", "--all")
    learner = world.learner()
    events += world.shop(6)
    drain(learner, lambda: True)
    assert ids(world) == Counter(event.decision_id for event in events)
    for path in world.data.checkpoints("world").glob("*"):
        path.unlink()
    again = world.learner()
    assert not again.figures.rebuild_mismatch
    assert again.training.examples == learner.training.examples


def test_what_is_due_can_be_asked_without_doing_it(logged):
    """--dry-run names days and files; without --all today is not due."""
    world, *_ = logged
    before = files_below(world.log)
    assert "nothing is due" in run(logged, "log", "compact", "--dry-run").output
    assert "due: decisions" in run(logged, "log", "compact", "--all", "--dry-run").output
    assert files_below(world.log) == before


def test_files_are_told_by_day_and_by_path(logged):
    """The paths are exactly those that count."""
    world, *_ = logged
    run(logged, "log", "compact", "--all")
    said = run(logged, "log", "files").output
    assert "36 rows" in said
    paths = run(logged, "log", "files", "--paths").output.split()
    assert paths == [str(path) for path in files_below(dataset_folder(world.log, "decisions", "world"))]


def test_forget_deletes_a_unit_and_the_books_still_balance(logged, store):
    """Rows and deleted rows are what was finalised; replay says what it cannot do, and finds no fault."""
    world, _, events = logged
    unit = events[5].unit_id
    world.reward(events[5], 2.0, "too late")
    learner = world.learner()
    drain(learner, lambda: True)
    result = run(logged, "log", "forget", unit, "--now")
    assert result.exit_code == 0, result.output
    assert "deleted: 1 rows of decisions" in result.output
    assert "deleted: 1 rows of late" in result.output
    assert ids(world) == Counter(event.decision_id for event in events if event.unit_id != unit)
    assert all(read_books(world.scripts, keys).balanced for keys in world.partitions)
    for dataset in ("decisions", "late"):
        for path in (world.log / dataset).rglob("*.parquet"):
            assert events[5].decision_id not in str(pq.ParquetFile(path).read(["decision_id"]).to_pydict())
    replayed = replay(world.application, world.data)
    assert replayed.clean, replayed.told
    assert replayed.counts["deleted"] > 0
    assert "1 by forget" in run(logged, "log", "files").output


def test_retain_says_what_it_would_delete_and_deletes_only_with_yes(logged):
    """The world's clock is years ahead of no one: nothing of today is older than a day."""
    assert "nothing is older than" in run(logged, "log", "retain", "1", "--yes").output


def test_compact_deletes_old_days_only_when_it_is_told_to(logged, monkeypatch):
    """By hand nothing goes; --retain, as the nightly job says it, obeys retention_days."""
    asked = []

    def keep(log, name, now_ms, policy, tick):
        asked.append(policy.retention_days)
        return log_keeping.Kept((), (("decisions", "2026-01-01", 1200),), 0)

    monkeypatch.setattr(log_keeping, "keep", keep)
    with (logged[1] / "app.toml").open("a") as file:
        file.write("[learner]\nretention_days = 7\n")
    run(logged, "log", "compact")
    said = run(logged, "log", "compact", "--retain").output
    assert asked == [0, 7]
    assert "deleted: decisions of 2026-01-01, 1,200 rows" in said


def test_an_unknown_dataset_is_one_line(logged):
    """With the legal ones."""
    result = run(logged, "log", "files", "--dataset", "rows")
    assert isinstance(result.exception, SidearmError)
    assert "decisions, lessons, late, dead, versions" in str(result.exception)


def test_dead_letters_are_a_dataset_with_their_reasons(store, data_folder):
    """What could not be learnt, readable or not, is a row beside the decisions, once."""
    world = World(store, data_folder, partitions=1)
    store.xadd(world.partitions[0].examples, {"k": "F", "i": "torn", "d": b"\xff\x00", "r": b""}, id="5-0")
    learner = world.learner()
    world.shop(3)
    for _ in range(3):
        world.now_s += 3600
        drain(learner, lambda: True)
    drain(world.learner(), lambda: True)
    folder = dataset_folder(world.log, "dead", "world")
    (row,) = [row for f in files_below(folder) for row in pq.ParquetFile(f).read().to_pylist()]
    assert (row["position"], row["decision_id"], row["decision"]) == ("5-0", "torn", b"\xff\x00")
    assert "no decision event" in row["reason"]
