"""A lane of the archive, and who else may write it."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq

from policy_learner.archive import chain
from policy_learner.archive.chain import dataset_folder
from policy_learner.archive.lane import Lane
from policy_learner.loop import archive, drain, step
from tests.policy_learner.world import HORIZON_MS, World


def test_a_paused_archiver_writes_nothing_twice_after_the_stream_was_trimmed(store, data_folder):
    """It reads from its old end, where the store now begins with an entry that another one wrote."""
    world = World(store, data_folder, partitions=1)
    paused = world.learner()
    running = world.learner()
    event = world.decide()[0]
    world.move(HORIZON_MS + 1)
    step(running)
    for n in range(3):
        assert world.reward(event, 1.0, f"late-{n}") == "LATE"
    drain(running, lambda: True)
    assert store.xlen(world.partitions[0].late) == 1
    world.now_s += 3600
    archive(paused)
    for dataset in ("late", "versions"):
        chain.verify(dataset_folder(world.log, dataset, "world"), 0)
    assert world.reward(event, 1.0, "late-3") == "LATE"
    world.now_s += 3600
    archive(paused)
    late = dataset_folder(world.log, "late", "world")
    chain.verify(late, 0)
    assert len(chain.links(late, 0)) == 2


def test_entries_that_come_one_by_one_wait_in_little_memory(tmp_path):
    """A table a row takes thirty kilobytes: a disk that is full for an hour must not fill the memory."""
    lane = Lane("s", tmp_path, 0, lambda entries: pa.table({"n": [n for n, _ in entries]}), 50_000)
    for n in range(1, 3001):
        lane.take([(f"{n}-0", {})])
    assert lane.waiting == 3000
    assert len(lane._pieces) < 100
    assert lane.write() == 3000
    (link,) = chain.links(tmp_path, 0)
    assert chain.span(link.path)[:2] == ("0-0", "3000-0")
    assert pq.read_table(link.path, partitioning=None)["n"].to_pylist() == [f"{n}-0" for n in range(1, 3001)]


def _pair(folder, most_rows: int = 10) -> tuple[Lane, Lane]:
    """Two lanes of one stream: even entries are the first one's."""

    def table(entries):
        return pa.table({"n": [n for n, _ in entries]})

    def is_even(entry) -> bool:
        return int(entry[0].partition("-")[0]) % 2 == 0

    even = Lane("s", folder / "even", 0, table, most_rows, is_even)
    odd = Lane("s", folder / "odd", 0, table, most_rows, lambda entry: not is_even(entry))
    even.pair(odd)
    return even, odd


def _read(lanes, until: int, count: int = 100) -> None:
    """Up to an entry, as the archive reads."""
    for lane in [lane for lane in lanes if not lane.held_up]:
        after = int(lane.wanted().after.partition("-")[0])
        lane.take([(f"{n}-0", {}) for n in range(after + 1, min(until, after + count) + 1)])


def test_where_another_writer_was_first_the_last_file_tells_of_both_lanes(tmp_path):
    """Else the stream would be kept for the one that started over, until something comes that it takes."""
    ours, theirs = _pair(tmp_path), _pair(tmp_path)
    _read(theirs, 2)
    _read(ours, 4)
    assert theirs[0].write() == 1
    assert [lane.write() for lane in ours] == [0, 0]  # even starts over, odd waits for it
    _read(ours, 4, count=1)
    assert [lane.write() for lane in ours] == [0, 0]
    _read(ours, 5)
    _read(ours, 5)
    assert [lane.write() for lane in ours] == [1, 3]
    (link,) = chain.links(tmp_path / "odd", 0)
    assert chain.span(link.path)[1:] == ("5-0", "5-0")


def test_a_full_lane_that_is_ahead_does_not_keep_the_other_from_catching_up(tmp_path):
    """It cannot be written before the other is there."""
    ours, theirs = _pair(tmp_path, most_rows=2), _pair(tmp_path)
    _read(theirs, 2)
    _read(ours, 3)
    assert theirs[0].write() == 1
    assert [lane.write() for lane in ours] == [0, 0]
    assert ours[1].full
    _read(ours, 3)
    assert sum(lane.write() for lane in ours) == 2
    assert {lane.end for lane in ours} == {"3-0"}
