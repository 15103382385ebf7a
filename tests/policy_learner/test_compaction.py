"""Compaction: every reader finds each row once, before, during and after it, and when it is killed
anywhere."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from offline_eval.dataset import open_log
from offline_eval.engine import connect
from policy_learner import failpoints
from policy_learner.archive import chain, compaction, generation
from policy_learner.archive.archive_reader import LogReader
from policy_learner.archive.chain import Span
from policy_learner.archive.compaction import Shape, compact_day
from policy_learner.archive.generation import clean
from policy_learner.archive.segments import groups_of, view
from policy_learner.errors import BadArchive, BrokenChain
from policy_learner.join.positions import order
from sidecar.contracts.errors import BadManifest
from sidecar.contracts.log_files import files_below, generations, manifest_path, read_manifest
from tests.policy_learner.logs import APP, DAYS, Archiver, ms, read_ids

NOW_MS = ms(9)
GRACE_MS = 3_600_000


class Killed(BaseException):
    """What kill -9 is to the code: nothing after it runs, not even what catches errors."""


@pytest.fixture
def archiver(tmp_path):
    """Two lanes, two days, six files a lane."""
    archiver = Archiver(tmp_path)
    archiver.write(0)
    archiver.write(1)
    return archiver


@pytest.fixture
def at_moment():
    """Do something at the n-th time of a moment; nothing is left of it after the test."""

    def arm(moment, action, times=1):
        left = [times]

        def handle(reached):
            left[0] -= reached == moment
            if reached == moment and left[0] == 0:
                action()

        failpoints.arm(handle)

    yield arm
    failpoints.arm(None)


def compact(archiver, day=0, **options):
    return compact_day(archiver.folder, "decisions", DAYS[day].isoformat(), NOW_MS, **options)


def live(archiver):
    return [path for path in files_below(archiver.folder) if not path.name.startswith("g")]


def test_a_day_becomes_one_sorted_file_and_the_next_day_stays(archiver):
    """All lanes of it, in the order of their positions; the footer tells where each row group goes."""
    manifest = compact(archiver, shape=Shape(group_rows=10))
    (file,) = manifest.files
    table = pq.ParquetFile(archiver.folder / file.path).read()
    keys = [
        (*order(p), lane)
        for p, lane in zip(*(table[c].to_pylist() for c in ("position", "partition")), strict=True)
    ]
    assert keys == sorted(keys)
    assert len(keys) == file.rows == 24
    groups = groups_of(archiver.folder / file.path)
    assert [group.rows for group in groups] == [10, 10, 4]
    assert all(order(a.last) <= order(b.first) for a, b in pairwise(groups))
    assert {path.parent.name for path in live(archiver)} == {"dt=2026-01-02"}
    assert read_ids(archiver.folder) == archiver.ids


def test_the_chain_goes_on_behind_what_was_compacted(archiver):
    """The archiver finds its end, writes on, and the walk along the chain finds no gap."""
    ends = [chain.end_of(archiver.folder, lane) for lane in range(2)]
    compact(archiver)
    compact(archiver, 1)
    assert live(archiver) == []
    clean(archiver.folder, NOW_MS + GRACE_MS, GRACE_MS)
    assert [chain.end_of(archiver.folder, lane) for lane in range(2)] == ends
    archiver.write(2, files=1)
    for lane in range(2):
        chain.verify(archiver.folder, lane)
    assert read_ids(archiver.folder) == archiver.ids


def test_a_day_that_goes_on_is_compacted_in_parts_and_as_a_whole_at_its_end(archiver):
    """Parts lie beside one another; the last time they become one file, still sorted."""
    compact(archiver)
    compact(archiver, 1, whole=False)
    archiver.write(1, start_s=1000)
    compact(archiver, 1, whole=False)
    assert [file.day for file in read_manifest(archiver.folder).files] == [
        "2026-01-01",
        "2026-01-02",
        "2026-01-02",
    ]
    assert read_ids(archiver.folder) == archiver.ids
    archiver.write(1, files=1, start_s=2000)
    manifest = compact(archiver, 1)
    assert [file.day for file in manifest.files] == ["2026-01-01", "2026-01-02"]
    positions = pq.read_table(archiver.folder / manifest.files[1].path, partitioning=None)[
        "position"
    ].to_pylist()
    assert positions == sorted(positions, key=order)
    assert read_ids(archiver.folder) == archiver.ids


def test_a_large_day_is_cut_into_files(archiver):
    """Of about as many rows as asked for."""
    manifest = compact(archiver, shape=Shape(group_rows=5, file_rows=10))
    assert [file.rows for file in manifest.files] == [10, 10, 4]
    assert read_ids(archiver.folder) == archiver.ids


def test_replaced_files_stay_for_the_grace_and_go_after_it(archiver):
    """Whoever listed them before still finds them; afterwards only what counts is there."""
    before = set(files_below(archiver.folder))
    compact(archiver)
    assert clean(archiver.folder, NOW_MS + GRACE_MS - 1, GRACE_MS) == []
    assert all(path.exists() for path in before)
    removed = clean(archiver.folder, NOW_MS + GRACE_MS, GRACE_MS)
    assert {path.parent.name for path in removed} == {"dt=2026-01-01"}
    assert len(removed) == 6
    assert sorted(archiver.folder.rglob("*.parquet")) == files_below(archiver.folder)
    assert read_ids(archiver.folder) == archiver.ids


def test_each_generation_has_its_own_grace(archiver):
    """What the third needs no more and the second listed until just now is still there."""
    compact(archiver)
    archiver.write(0 + 1, files=1, start_s=3000)
    second = compact_day(archiver.folder, "decisions", DAYS[1].isoformat(), NOW_MS + GRACE_MS, whole=False)
    archiver.write(1, files=1, start_s=4000)
    third = compact_day(archiver.folder, "decisions", DAYS[1].isoformat(), NOW_MS + 2 * GRACE_MS)
    clean(archiver.folder, NOW_MS + 2 * GRACE_MS, GRACE_MS)
    assert generations(archiver.folder) == [2, 3]
    assert all((archiver.folder / file.path).exists() for file in (*second.files, *third.files))
    clean(archiver.folder, NOW_MS + 3 * GRACE_MS, GRACE_MS)
    assert generations(archiver.folder) == [3]
    assert sorted(archiver.folder.rglob("*.parquet")) == files_below(archiver.folder)
    assert read_ids(archiver.folder) == archiver.ids


@pytest.mark.parametrize("killed", [True, False])
@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize(
    "moment",
    [
        "compacted file written",
        "compacted file named",
        "manifest written",
        "manifest swapped",
        "replaced file removed",
    ],
)
def test_killed_at_any_step_every_row_is_there_once(archiver, at_moment, monkeypatch, moment, times, killed):
    """Killed, or stopped by an error; the next compaction ends what this one began."""

    def kill(patched):
        if killed:  # then nothing is cleared up
            patched.setattr(Path, "unlink", lambda *_, **__: None)
        raise Killed

    def work():
        for day in range(2):
            if DAYS[day].isoformat() in compaction.open_days(view(archiver.folder)):
                compact(archiver, day, shape=Shape(group_rows=5, file_rows=10))
        clean(archiver.folder, NOW_MS + GRACE_MS, GRACE_MS)

    with monkeypatch.context() as patched:
        at_moment(moment, lambda: kill(patched), times)
        with pytest.raises(Killed):
            work()
    failpoints.arm(None)
    assert read_ids(archiver.folder) == archiver.ids
    archiver.write(2, files=1)
    assert read_ids(archiver.folder) == archiver.ids
    work()
    clean(archiver.folder, NOW_MS + 10**12, GRACE_MS)
    assert read_ids(archiver.folder) == archiver.ids
    assert len(live(archiver)) == 2
    compact(archiver, 2)
    clean(archiver.folder, NOW_MS + 10**12, GRACE_MS)
    there = (path for path in archiver.folder.rglob("*") if path.is_file() and path.suffix != ".json")
    assert sorted(there) == files_below(archiver.folder)


def test_readers_find_every_row_once_at_every_step(archiver, at_moment):
    """Of the folder, of the evaluation and of the trainer, while a compaction goes on."""
    looks = []

    def look():
        rows = open_log(connect(), archiver.folder).connection.execute("SELECT count(*) FROM raw").fetchall()
        looks.append((read_ids(archiver.folder) == archiver.ids, rows))

    failpoints.arm(lambda moment: look())
    for day in range(2):
        compact(archiver, day)
    clean(archiver.folder, NOW_MS + GRACE_MS, GRACE_MS)
    failpoints.arm(None)
    assert len(looks) > 15
    assert set(map(str, looks)) == {str((True, [(48,)]))}


def test_of_two_at_work_one_wins_and_the_other_changes_nothing(archiver, at_moment):
    """The second one's manifest is there before the first one's: nothing of the first is left."""
    won = []
    at_moment("manifest written", lambda: (failpoints.arm(None), won.append(compact(archiver))))
    assert compact(archiver) is None
    assert read_manifest(archiver.folder) == won[0]
    assert {path.name for path in archiver.folder.glob("dt=2026-01-01/g*")} == {
        file.path.partition("/")[2] for file in won[0].files
    }
    assert read_ids(archiver.folder) == archiver.ids


def test_who_slept_until_the_generation_was_gone_cannot_bring_it_back(archiver, at_moment):
    """Its number is free again, since the manifest that had it was cleared away; later ones count."""

    def others():
        failpoints.arm(None)
        compact(archiver)
        compact(archiver, 1)
        clean(archiver.folder, NOW_MS + GRACE_MS, GRACE_MS)

    at_moment("manifest written", others)
    assert compact(archiver) is None
    assert generations(archiver.folder) == [2]
    assert read_ids(archiver.folder) == archiver.ids


def test_an_archiver_that_slept_through_a_compaction_writes_nothing_twice(archiver, at_moment):
    """Between its look and its link another wrote its file, and that file was compacted and removed."""
    first = f"{ms(2)}-0"
    after = chain.end_of(archiver.folder, 0)

    def others():
        failpoints.arm(None)
        archiver.append(0, [first, f"{ms(2, 5)}-0"])
        for day in range(3):
            compact(archiver, day)
        clean(archiver.folder, NOW_MS + GRACE_MS, GRACE_MS)

    table = pq.ParquetFile(live(archiver)[0]).read()
    at_moment("file written", others)
    assert chain.append(archiver.folder, 0, DAYS[2], first, Span(after, first), table) is None
    assert read_ids(archiver.folder) == archiver.ids
    assert chain.append(archiver.folder, 0, DAYS[2], f"{ms(2, 9)}-0", Span(after, first), table) is None


def test_a_damaged_file_stops_it_and_nothing_has_changed(archiver):
    """The error names the file; the rows that can be read are where they were."""
    path = live(archiver)[2]
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises((BadArchive, BrokenChain), match=path.name):
        compact(archiver)
    assert read_manifest(archiver.folder).generation == 0
    assert not list(archiver.folder.rglob("g*")) + list(archiver.folder.rglob(generation.TEMPORARY + "*"))


def test_a_missing_file_stops_it(archiver):
    """A gap must not be made permanent."""
    live(archiver)[1].unlink()
    with pytest.raises(BrokenChain, match="begins after"):
        compact(archiver)


def test_days_are_compacted_in_their_order(archiver):
    """A lane's compacted part is the beginning of its chain."""
    with pytest.raises(BrokenChain, match="not compacted yet"):
        compact(archiver, 1)


def test_a_manifest_that_nobody_can_read_is_named(archiver):
    """Nobody guesses which files count."""
    compact(archiver)
    manifest_path(archiver.folder, 1).write_bytes(b"{")
    with pytest.raises(BadManifest, match="manifest-00000001"):
        files_below(archiver.folder)


def test_a_reader_by_position_finds_the_same_examples(archiver):
    """Compacted, partly compacted, and while the pieces that it holds vanish."""
    positions = {
        lane: [p for path in live(archiver) if path.name.startswith(f"{lane}-")
               for p in pq.ParquetFile(path).read(["position"])["position"].to_pylist()]
        for lane in range(2)
    }  # fmt: skip

    def read(reader):
        return [
            [
                (e.event.decision_id, e.reward)
                for e in reader.examples(lane, positions[lane][a], positions[lane][b])
            ]
            for lane in range(2)
            for a, b in ((0, 0), (0, 23), (3, 5), (10, 13), (23, 23))
        ]

    reader = LogReader(archiver.log, APP, 2)
    before = read(reader)
    for day in range(2):
        compact(archiver, day, shape=Shape(group_rows=5))
        assert read(LogReader(archiver.log, APP, 2)) == before
        clean(archiver.folder, NOW_MS + 10**12, 0)
        assert read(reader) == before
