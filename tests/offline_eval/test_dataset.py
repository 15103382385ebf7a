"""Opening a log: its files, its columns, and the status of every row."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from offline_eval import repeats
from offline_eval.batches import read_batches
from offline_eval.dataset import Window, open_log
from offline_eval.diagnostics import Gates, log_checks, summarise
from offline_eval.engine import connect
from offline_eval.errors import BadLog
from sidecar.contracts.columns import ADDED_COLUMNS
from tests.offline_eval.logs import START, row, write_log


def summary_of(folder: Path, rows, window: Window | None = None, files: int = 1):
    return summarise(open_log(connect(), write_log(folder, rows, files=files), window))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"reward": None}, "reward_missing"),
        ({"reward": float("inf")}, "reward_not_finite"),
        ({"reward": float("nan")}, "reward_not_finite"),
        ({"propensity": 0.0}, "propensity_zero"),
        ({"propensity": -1.0}, "propensity_zero"),
        ({"propensity": float("nan")}, "propensity_not_a_number"),
        ({"propensity": 1.5}, "propensity_above_one"),
        ({"propensity": 1e-7}, "propensity_below_floor"),
        ({"propensity": 0.01, "propensity_mc_n": 100}, "propensity_below_its_draws"),
        ({"inclusion_probability": 0.0}, "inclusion_probability_invalid"),
        ({"arm": "purple"}, "unknown_arm"),
        ({"arm_index": 9}, "unknown_arm"),
        ({"arm_index": -1}, "unknown_arm"),
        ({"arm_index": 1}, "unknown_arm"),
        ({"arm": "grey", "arm_index": -2}, "unknown_arm"),
        ({"pmf": [0.5, 0.5]}, "pmf_of_other_length"),
        ({"source": "pre_policy", "deterministic": True, "propensity": 1.0, "learn": False}, "pre_policy"),
        ({"activated": False}, "not_activated"),
        ({"deterministic": True, "propensity": 1.0}, "deterministic"),
    ],
)
def test_a_row_that_cannot_count_has_its_reason(tmp_path, changes, reason):
    """Every rule of the log: one such row among sound ones is left out under exactly that reason."""
    summary = summary_of(tmp_path, [row(0), row(1, event=b"-", **changes), row(2)])

    assert summary.left_out == {reason: 1}
    assert (summary.rows, summary.counted) == (3, 2)


def test_no_arms_at_all_is_an_unknown_arm(tmp_path):
    """A row without eligible arms cannot have shown one."""
    assert summary_of(tmp_path, [row(0), row(1, arms=(), arm="red", propensity=0.5)]).left_out == {
        "unknown_arm": 1
    }


def test_a_repeated_row_counts_once_and_is_counted(tmp_path):
    """The same decision and slot twice: the first stays; another slot of the decision is no repeat."""
    rows = [row(0), row(1), row(0, reward=7.0), row(0, slot=1)]

    summary = summary_of(tmp_path, rows, files=3)

    assert summary.left_out == {"repeated": 1}
    assert summary.mean_reward == 1.0


@pytest.mark.parametrize("twice", [(), (0,), (3, 4, 5, 9)])
def test_rows_come_in_the_order_of_the_log(tmp_path, twice):
    """However many files and threads: the same log gives the same last digit, and is learnt in its order."""
    rows = [row(i) for i in range(60)]
    log = write_log(tmp_path, rows + [rows[i] for i in twice], files=20)

    for _ in range(5):
        opened = open_log(connect(threads=4), log)
        read = list(read_batches(opened, "", {}, with_events=False, batch_rows=7))
        found = [one for batch in read for one in batch.column("decision_id").to_pylist()]
        assert found == [one["decision_id"] for one in rows]


def test_repeats_are_found_however_many_there_are(tmp_path, monkeypatch):
    """By their places, or, where these are too many, by a join."""
    rows = [row(i) for i in range(30)]
    log = write_log(tmp_path, rows + rows[::2], files=3)
    by_place = summarise(open_log(connect(), log))
    monkeypatch.setattr(repeats, "_MOST_RUNS", 2)

    by_join = summarise(open_log(connect(), log))

    assert by_place == by_join
    assert by_place.left_out == {"repeated": 15}


def test_an_immature_row_leaves_numerator_and_denominator(tmp_path):
    """A missing reward is not a zero: the mean of 1, 1 and missing is 1."""
    assert summary_of(tmp_path, [row(0), row(1), row(2, reward=None)]).mean_reward == 1.0


def test_the_default_reward_is_a_real_value(tmp_path):
    """A zero that the horizon gave counts."""
    assert summary_of(tmp_path, [row(0), row(1, reward=0.0, reward_source_n=0)]).mean_reward == 0.5


@pytest.mark.parametrize(
    ("window", "rows"),
    [
        (Window(since=START + dt.timedelta(seconds=4)), 6),
        (Window(until=START + dt.timedelta(seconds=4)), 4),
        (Window(as_of=START + dt.timedelta(seconds=64)), 5),
        (Window(policy="champion"), 9),
        (Window(policy="o'clock"), 1),
        (Window(policy="nobody"), 0),
    ],
)
def test_a_window_restricts_rows(tmp_path, window, rows):
    """By decision time, by what was known at a moment, and by logging policy."""
    log = [row(i, policy="o'clock" if i == 9 else "champion") for i in range(10)]

    assert summary_of(tmp_path, log, window).rows == rows


def test_the_summary_lists_who_logged(tmp_path):
    """Rows and mean reward per source, policy and version."""
    summary = summary_of(tmp_path, [row(0), row(1, model_version=2, reward=3.0), row(2, model_version=2)])

    assert [(one.policy, one.model_version, one.rows, one.mean_reward) for one in summary.loggers] == [
        ("champion", 1, 1, 1.0),
        ("champion", 2, 2, 2.0),
    ]


def test_many_defects_put_the_log_in_doubt(tmp_path):
    """One defective row in three is far above one in a thousand; rows left out by design are no defects."""
    broken = log_checks(summary_of(tmp_path / "a", [row(0), row(1), row(2, propensity=0.0)]), Gates())
    sound = log_checks(summary_of(tmp_path / "b", [row(0), row(1), row(2, reward=None)]), Gates())

    assert {check.name: check.level for check in broken}["defects"] == "stop"
    assert {check.name: check.level for check in sound}["defects"] == "ok"


def test_an_empty_file_is_an_empty_log(tmp_path):
    """No rows: no error, and nothing counts."""
    summary = summary_of(tmp_path, [])

    assert (summary.rows, summary.counted, summary.first_decided_at) == (0, 0, None)


def test_a_file_being_written_is_not_read(tmp_path):
    """Names that begin with a dot belong to a writer."""
    log = write_log(tmp_path, [row(0)])
    next(log.rglob("*.parquet")).with_name(".0-2.parquet").write_bytes(b"half")

    assert summarise(open_log(connect(), log)).rows == 1


def test_a_folder_without_a_log_is_named(tmp_path):
    """One line that says what is expected."""
    with pytest.raises(BadLog, match="holds no decisions"):
        open_log(connect(), tmp_path)


def test_a_log_of_before_a_column_was_added_is_read(tmp_path):
    """Its rows count as before, and have null there; beside files of today as alone."""
    log = write_log(tmp_path, [row(0), row(1)], files=2)
    first, second = sorted(log.rglob("*.parquet"))
    for paths in ([first], [first, second]):
        for path in paths:
            table = pq.read_table(path, partitioning=None)
            pq.write_table(
                table.drop_columns([name for name in ADDED_COLUMNS if name in table.column_names]), path
            )
        opened = open_log(connect(), log)
        found = opened.connection.sql(f"SELECT {', '.join(ADDED_COLUMNS)}, status FROM log").fetchall()
        assert {found[0], found[1]} == {(*[None] * len(ADDED_COLUMNS), "")}


def test_another_parquet_file_is_refused_by_its_columns(tmp_path):
    """Every missing column is named."""
    pq.write_table(pa.table({"reward": [1.0], "arm": ["red"]}), tmp_path / "x.parquet")

    with pytest.raises(BadLog, match=r"column decision_id, slot, .* missing"):
        open_log(connect(), tmp_path)


def test_a_broken_file_is_refused(tmp_path):
    """Bytes that are no Parquet."""
    (tmp_path / "x.parquet").write_bytes(b"no parquet at all")

    with pytest.raises(BadLog, match="cannot be read"):
        open_log(connect(), tmp_path)


def test_nothing_is_written_beside_the_log(tmp_path, monkeypatch):
    """DuckDB's default spill folder would be .tmp in the working folder."""
    monkeypatch.chdir(tmp_path)
    log = write_log(tmp_path / "data", [row(i) for i in range(50)])
    before = sorted(tmp_path.rglob("*"))

    summarise(open_log(connect(threads=1, memory_limit="64MB"), log))

    assert sorted(tmp_path.rglob("*")) == before
