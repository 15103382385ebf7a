"""Keeping the log: what is due when, old days deleted, a unit forgotten; readers find the rest once."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import date

import pyarrow.parquet as pq
import pytest

from policy_learner import failpoints
from policy_learner.archive.archive_reader import LogReader
from policy_learner.archive.chain import dataset_folder
from policy_learner.archive.compaction import Shape, digest_of
from policy_learner.archive.forgetting import forget
from policy_learner.archive.log_keeping import Due, Policy, cutoff, due, keep, keeping
from policy_learner.archive.retention import drop_before
from policy_learner.errors import CannotRebuild
from policy_learner.settings import LearnerSettings
from sidecar.contracts.log_files import files_below, read_manifest
from tests.policy_learner.logs import APP, Archiver, ms, read_ids
from tests.waiting import until

GRACE_MS = 3_600_000


@pytest.fixture
def archiver(tmp_path):
    """Three days; two lanes with three files of four rows each a day."""
    archiver = Archiver(tmp_path)
    for day in range(3):
        archiver.write(day)
    return archiver


@pytest.fixture(autouse=True)
def _no_moments():
    yield
    failpoints.arm(None)


def rows(folder, *columns):
    return [
        row for path in files_below(folder) for row in pq.ParquetFile(path).read(list(columns)).to_pylist()
    ]


def policy(**changes):
    return Policy(many_files=1000, retention_days=0, grace_s=3600.0, shape=Shape(10, 100))._replace(**changes)


def test_days_that_are_over_are_due_and_today_when_it_has_many_files(archiver):
    """Ten minutes after midnight at the earliest: the archiver may still write."""
    at = lambda now_ms, many=1000: [(one.day, one.whole) for one in due(archiver.log, APP, now_ms, many)]  # noqa: E731
    assert at(ms(2, 599)) == [("2026-01-01", True)]
    assert at(ms(2, 601)) == [("2026-01-01", True), ("2026-01-02", True)]
    assert at(ms(2, 601), many=7) == [("2026-01-01", True), ("2026-01-02", True)]
    assert at(ms(2, 601), many=6)[2:] == [("2026-01-03", False)]


def test_what_is_due_is_done_once(archiver):
    """Afterwards nothing is due, until there are new files."""
    first = keep(archiver.log, APP, ms(3, 900), policy())
    assert [one.day for one in first.compacted] == ["2026-01-01", "2026-01-02", "2026-01-03"]
    assert first.compacted[0] == Due("decisions", "2026-01-01", True, 6)
    assert keep(archiver.log, APP, ms(3, 901), policy()).compacted == ()
    assert keep(archiver.log, APP, ms(3, 900) + GRACE_MS, policy()).removed == 18
    assert read_ids(archiver.folder) == archiver.ids
    assert len(files_below(archiver.folder)) == 3


def test_a_straggler_of_a_closed_day_joins_its_day(archiver):
    """The archiver was behind: the day becomes one file again."""
    keep(archiver.log, APP, ms(3, 900), policy())
    archiver.write(2, files=1, start_s=5000)
    keep(archiver.log, APP, ms(3, 1800), policy())
    assert len(files_below(archiver.folder)) == 3
    assert read_ids(archiver.folder) == archiver.ids


def test_the_learner_keeps_the_log_beside_its_work(archiver):
    """A thread of its own, which ends with the learner; a damaged file does not end it."""
    damaged = files_below(archiver.folder)[-1]
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:-10])
    settings = LearnerSettings(compact_every_s=0.01)
    with keeping(archiver.log, APP, settings, lambda: ms(3, 900)):
        until(lambda: read_manifest(archiver.folder).generation == 2)
        damaged.write_bytes(whole)
        until(lambda: read_manifest(archiver.folder).generation == 3)
    assert "keep-log" not in [thread.name for thread in threading.enumerate()]
    assert read_ids(archiver.folder) == archiver.ids


@pytest.mark.parametrize("compacted_until", [0, 1, 3])
def test_old_days_are_deleted_and_counted(archiver, compacted_until):
    """Compacted or not. What stays and what went are together what was archived; the chain goes on."""
    keep(archiver.log, APP, ms(compacted_until, 900), policy())
    assert drop_before(archiver.log, APP, date(2026, 1, 3), ms(9), do=False) == [
        ("decisions", "2026-01-01", 24),
        ("decisions", "2026-01-02", 24),
    ]
    assert drop_before(archiver.log, APP, date(2026, 1, 3), ms(9)) == [
        ("decisions", "2026-01-01", 24),
        ("decisions", "2026-01-02", 24),
    ]
    manifest = read_manifest(archiver.folder)
    assert manifest.removed == {"retention": 48}
    assert read_ids(archiver.folder).total() + 48 == archiver.ids.total()
    assert {path.parent.name for path in files_below(archiver.folder)} == {"dt=2026-01-03"}
    assert drop_before(archiver.log, APP, date(2026, 1, 3), ms(9)) == []
    archiver.write(3)
    keep(archiver.log, APP, ms(9), policy(grace_s=0.0))
    assert not list(archiver.folder.glob("dt=2026-01-0[12]"))
    assert read_ids(archiver.folder).total() + 48 == archiver.ids.total()


def test_a_reader_is_told_that_its_rows_were_deleted(archiver):
    """And gets those that were not."""
    drop_before(archiver.log, APP, date(2026, 1, 2), ms(9))
    reader = LogReader(archiver.log, APP, 2)
    with pytest.raises(CannotRebuild, match="retention"):
        reader.examples(0, f"{ms(0)}-0", f"{ms(0, 9)}-9")
    assert len(reader.examples(0, f"{ms(1)}-0", f"{ms(1, 6)}-9")) == 3


def test_the_setting_deletes_day_by_day(archiver):
    """Two days back from today."""
    kept = keep(archiver.log, APP, ms(2, 900), policy(retention_days=1))
    assert kept.dropped == (("decisions", "2026-01-01", 24),)
    assert [one.day for one in kept.compacted] == ["2026-01-02"]


def test_a_clock_that_jumps_ahead_deletes_nothing_new(archiver):
    """Days are counted back from the newest of the log."""
    assert cutoff(archiver.log, APP, ms(5000), 2) == date(2026, 1, 1)
    assert cutoff(archiver.log, APP, ms(1), 2) == date(2025, 12, 31)
    assert cutoff(archiver.log, APP, ms(5000), 0) is None


def units(archiver):
    return Counter(row["unit_id"] for row in rows(archiver.folder, "unit_id"))


@pytest.mark.parametrize("compacted_until", [0, 2, 3])
def test_a_unit_is_forgotten_and_nobody_else(archiver, compacted_until):
    """Compacted or not: all its rows, and only they."""
    before = units(archiver)
    keep(archiver.log, APP, ms(compacted_until, 900), policy())
    erased = forget(archiver.log, APP, "u-3", ms(9), Shape(10, 100))
    assert erased.rows == {"decisions": before["u-3"]}
    assert erased.decisions == before["u-3"] > 0
    after = units(archiver)
    assert after == Counter({unit: n for unit, n in before.items() if unit != "u-3"})
    assert read_manifest(archiver.folder).removed == {"forget": before["u-3"]}
    keep(archiver.log, APP, ms(9), policy(grace_s=0.0))
    everything = b"".join(path.read_bytes() for path in archiver.folder.rglob("*") if path.is_file())
    assert everything
    assert units(archiver) == after
    for path in archiver.folder.rglob("*.parquet"):
        assert "u-3" not in pq.ParquetFile(path).read(["unit_id"])["unit_id"].to_pylist()
    assert forget(archiver.log, APP, "u-3", ms(9, 5)).rows == {}


def test_late_rewards_of_the_unit_go_too(archiver):
    """Those that name its decisions, or its sessions; those of others stay."""
    of = {row["unit_id"]: row for row in rows(archiver.folder, "unit_id", "decision_id", "session_id")}
    archiver.late(0, f"{ms(1)}-0", [of["u-3"]["decision_id"], of["u-4"]["decision_id"]])
    archiver.late(1, f"{ms(2)}-0", [of["u-3"]["session_id"], "nobody"], kind="P")
    erased = forget(archiver.log, APP, "u-3", ms(9))
    assert erased.rows["late"] == 2
    late = dataset_folder(archiver.log, "late", APP)
    assert {row["decision_id"] for row in rows(late, "decision_id")} == {of["u-4"]["decision_id"], "nobody"}


def test_a_decision_that_was_pending_goes_when_its_day_is_compacted(archiver):
    """Together with the late reward that named it. What the unit does afterwards is logged again."""
    forget(archiver.log, APP, "u-3", ms(3))
    known = set(read_ids(archiver.folder))
    archiver.append(0, [f"{ms(3, 0)}-0"], unit="u-3")  # decided a second before: the archiver knows nothing
    (pending,) = set(read_ids(archiver.folder)) - known
    archiver.late(0, f"{ms(3, 5)}-0", [pending, "nobody"])
    archiver.append(0, [f"{ms(3, 60)}-0"], unit="u-3")
    assert units(archiver)["u-3"] == 2
    keep(archiver.log, APP, ms(4, 900), policy())
    (left,) = [row for row in rows(archiver.folder, "unit_id", "position") if row["unit_id"] == "u-3"]
    assert left["position"] == f"{ms(3, 60)}-0"
    late = dataset_folder(archiver.log, "late", APP)
    assert [row["decision_id"] for row in rows(late, "decision_id")] == ["nobody"]


def test_the_manifest_keeps_no_name(archiver):
    """Only the digest of who is to be forgotten."""
    forget(archiver.log, APP, "u-3", ms(9))
    (request,) = read_manifest(archiver.folder).forgotten
    assert request.sha256 == digest_of("u-3")
    assert all(b"u-3" not in path.read_bytes() for path in archiver.folder.glob("manifest-*.json"))


@pytest.mark.parametrize("times", [1, 2, 3])
@pytest.mark.parametrize("moment", ["compacted file written", "manifest written", "manifest swapped"])
def test_killed_while_forgetting_it_can_be_done_again(archiver, moment, times):
    """Everybody else's rows are there once at any time; the next attempt ends it."""
    of = {row["unit_id"]: row["decision_id"] for row in rows(archiver.folder, "unit_id", "decision_id")}
    archiver.late(0, f"{ms(2)}-0", [of["u-3"], of["u-4"]])
    before = units(archiver)
    others = Counter({unit: n for unit, n in before.items() if unit != "u-3"})
    left = [times]

    class Killed(BaseException):
        pass

    def kill(reached):
        left[0] -= reached == moment
        if left[0] == 0:
            raise Killed

    failpoints.arm(kill)
    with pytest.raises(Killed):
        forget(archiver.log, APP, "u-3", ms(9), Shape(5, 10))
    failpoints.arm(None)
    found = units(archiver)
    assert found - Counter({"u-3": found["u-3"]}) == others
    forget(archiver.log, APP, "u-3", ms(9, 1), Shape(5, 10))
    assert units(archiver) == others
    late = dataset_folder(archiver.log, "late", APP)
    assert [row["decision_id"] for row in rows(late, "decision_id")] == [of["u-4"]]
    assert others.total() + read_manifest(archiver.folder).removed["forget"] == archiver.ids.total()
