"""The dataset of lessons is kept like that of decisions: compacted, deleted, forgotten, shipped."""

from __future__ import annotations

import datetime as dt

import pyarrow.parquet as pq
import pytest
from obstore.store import MemoryStore

from policy_learner.archive import chain
from policy_learner.archive.chain import dataset_folder
from policy_learner.archive.compaction import Shape, digest_of
from policy_learner.archive.forgetting import forget
from policy_learner.archive.log_keeping import Policy, keep
from policy_learner.archive.log_shipping import Shipper, fetch
from policy_learner.archive.retention import drop_before
from policy_learner.archiver import Archiver
from policy_learner.loop import drain, step
from policy_learner.models.replay import replay
from policy_learner.settings import LearnerSettings
from sidecar.contracts.layout import DataFolder
from sidecar.contracts.log_files import files_below, read_manifest
from sidecar.contracts.store import store_now_ms
from tests.policy_learner.world import HORIZON_MS, World

SMALL = Shape(5, 10)


@pytest.fixture
def world(store, data_folder) -> World:
    return World(store, data_folder, mode="assume")


def steps(learner):
    while step(learner):
        pass


def files(world):
    """A file of lessons and one of decisions at each call."""
    world.now_s += 100.0
    learner = world.learner()
    steps(learner)
    drain(learner, lambda: True)


def bought(world, count=4, **changes):
    events = world.decide(count, **changes)
    for event in events[::2]:
        assert world.reward(event, 1.0) == "OK"
    return events


def logged(world, *columns, dataset="lessons"):
    found = files_below(dataset_folder(world.log, dataset, "world"))
    return [row for path in found for row in pq.ParquetFile(path).read(list(columns)).to_pylist()]


def now_ms(world):
    return store_now_ms(world.client, world.partitions[0])


@pytest.fixture
def three_files(world) -> World:
    """Three files a lane, all closed."""
    for _ in range(3):
        bought(world)
        world.move(HORIZON_MS + 1)
        files(world)
    return world


def test_compacted_lessons_are_learnt_from_as_before(three_files):
    """Few files for many; each lesson once; a replay finds nothing."""
    before = sorted(row["position"] for row in logged(three_files, "position"))
    kept = keep(three_files.log, "world", now_ms(three_files), Policy(1, 0, 0.0, SMALL))
    assert {one.dataset for one in kept.compacted} >= {"decisions", "lessons"}
    assert sorted(row["position"] for row in logged(three_files, "position")) == before
    assert read_manifest(dataset_folder(three_files.log, "lessons", "world")).generation == 1
    assert replay(three_files.application, three_files.data).clean


def test_a_restart_goes_on_after_compacted_lessons(three_files):
    """The chain goes on where the manifest's part ends."""
    keep(three_files.log, "world", now_ms(three_files), Policy(1, 0, 0.0, SMALL))
    bought(three_files)
    three_files.move(HORIZON_MS + 1)
    files(three_files)
    positions = [(row["partition"], row["position"]) for row in logged(three_files, "partition", "position")]
    assert len(set(positions)) == len(positions) == 4 * (4 + 2)
    assert replay(three_files.application, three_files.data).clean


def test_lessons_of_a_forgotten_unit_go_with_its_decisions(three_files):
    """All of them and no others; models that learnt from them are said to be beyond a replay."""
    unit, before = "s-2", logged(three_files, "unit_id", "decision_id")
    mine = [row for row in before if row["unit_id"] == unit]
    erased = forget(three_files.log, "world", unit, now_ms(three_files), SMALL)
    assert erased.rows == {"decisions": 1, "lessons": len(mine)}
    assert len(mine) == 2
    assert len(logged(three_files, "unit_id")) == len(before) - len(mine)
    assert unit not in {row["unit_id"] for row in logged(three_files, "unit_id")}
    result = replay(three_files.application, three_files.data)
    assert result.clean
    assert result.counts["deleted"] > 0
    assert forget(three_files.log, "world", unit, now_ms(three_files), SMALL).rows == {}


def test_a_pending_decision_of_a_forgotten_unit_leaves_no_lesson(world):
    """Those that are in files go at once, those that come later when their day is compacted."""
    events = bought(world, unit_id="u-gone")
    others = bought(world, 2, unit_id="u-stays")
    files(world)
    erased = forget(world.log, "world", "u-gone", now_ms(world), SMALL)
    assert erased.rows == {"lessons": 6}
    assert {row["unit_id"] for row in logged(world, "unit_id")} == {"u-stays"}
    assert world.reward(events[1], 2.0, "later") == "OK"
    world.move(HORIZON_MS + 1)
    files(world)
    assert {row["unit_id"] for row in logged(world, "unit_id")} == {"u-stays", "u-gone"}
    keep(world.log, "world", now_ms(world), Policy(1, 0, 0.0, SMALL))
    for dataset in ("lessons", "decisions"):
        assert {row["unit_id"] for row in logged(world, "unit_id", dataset=dataset)} == {"u-stays"}
    assert {row["decision_id"] for row in logged(world, "decision_id")} == {e.decision_id for e in others}
    folder = dataset_folder(world.log, "lessons", "world")
    assert all(digest_of("u-gone") not in path.read_text() for path in folder.glob("manifest-*.json"))


def test_lessons_of_deleted_days_are_gone(three_files):
    """With their decisions; a replay says that the models cannot be made again."""
    tomorrow = dt.datetime.fromtimestamp(now_ms(three_files) / 1000, dt.UTC).date() + dt.timedelta(days=2)
    dropped = drop_before(three_files.log, "world", tomorrow, now_ms(three_files))
    assert {dataset for dataset, _, _ in dropped} == {"decisions", "lessons"}
    assert logged(three_files, "position") == []
    result = replay(three_files.application, three_files.data)
    assert result.clean
    assert result.counts["deleted"] > 0


def test_a_shipped_log_replays_with_its_lessons(three_files, tmp_path):
    """Fetched into an empty folder, compacted or not."""
    store = MemoryStore()
    Shipper(three_files.log, store).ship()
    keep(three_files.log, "world", now_ms(three_files), Policy(1, 0, 0.0, SMALL))
    Shipper(three_files.log, store).ship()
    copy = DataFolder(tmp_path / "copy")
    fetch(store, copy.log("world"))
    result = replay(three_files.application, copy)
    assert result.clean
    assert result.counts["examples"] == 3 * (4 + 2)


def test_a_lane_without_rows_writes_no_file_and_is_known_by_the_other(store, data_folder):
    """In wait mode there are no lessons: neither their files nor streams that are never trimmed."""
    world = World(store, data_folder, partitions=1)
    world.shop(5)
    files(world)
    assert not list((world.log / "lessons").rglob("*.parquet"))
    (link,) = chain.links(dataset_folder(world.log, "decisions", "world"), 0)
    last = store.xrevrange(world.partitions[0].examples, count=1)[0][0].decode()
    assert chain.span(link.path)[1:] == (last, last)
    assert store.xlen(world.partitions[0].examples) == 1
    for _ in range(2):
        lane = world.learner().archive.lessons[0]
        assert lane.has_read(last)  # and does not read from the beginning
        keep(world.log, "world", now_ms(world), Policy(1, 0, 0.0, SMALL))
    assert not chain.links(dataset_folder(world.log, "decisions", "world"), 0)


@pytest.mark.parametrize("mode", ["wait", "assume", "earliest"])
def test_streams_are_trimmed_where_the_archiver_is_apart(store, data_folder, mode):
    """The learner sees on disk how far both lanes are, also where one of them has nothing to write."""
    settings = LearnerSettings(publish_every_examples=1, archiver="apart")
    world = World(store, data_folder, partitions=1, settings=settings, mode=mode)
    learner, archiver = world.learner(), world.helper(Archiver)
    try:
        for _ in range(3):
            bought(world)
            world.move(HORIZON_MS + 1)
            steps(learner)
            while archiver.step():
                pass
            world.now_s += 100.0
            archiver.step()
            steps(learner)
    finally:
        archiver.stop()
    drain(learner, lambda: True)
    assert store.xlen(world.partitions[0].examples) == 1
    assert len(logged(world, "position", dataset="decisions")) == 12
    assert replay(world.application, world.data).clean


def test_lessons_that_are_in_no_file_are_not_trimmed(store, data_folder):
    """Also where the lane of decisions has nothing to write, and so has been everywhere."""
    settings = LearnerSettings(
        publish_every_examples=1, archive_every_s=10_000.0, checkpoint_every_s=1.0, trim_every_s=1.0
    )
    world = World(store, data_folder, partitions=1, settings=settings, mode="assume")
    learner = world.learner()
    world.decide(3)
    steps(learner)
    world.now_s += 5.0  # a checkpoint and a trim, no file
    steps(learner)
    assert learner.progress.checkpoint_positions == learner.progress.positions
    assert learner.archive.lessons[0].waiting == 3
    assert store.xlen(world.partitions[0].examples) == 3
