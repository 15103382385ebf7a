"""Tables of other systems as logs: whatever library they are of, with what is wrong with them counted."""

from __future__ import annotations

import datetime as dt
from contextlib import suppress

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from examples.fashion.cli import app
from offline_eval.errors import BadInput
from offline_eval.evaluate import evaluate
from offline_eval.interchange.frames import Columns, import_frame
from offline_eval.interchange.open_bandit import import_open_bandit
from offline_eval.target_policy import Table, Uniform

COLUMNS = Columns(
    arm="item", propensity="p", reward="clicked", unit_id="user", time="at", context=("device",)
)


@pytest.fixture
def table() -> pl.DataFrame:
    random = np.random.default_rng(1)
    places = random.integers(3, size=600)
    return pl.DataFrame(
        {
            "item": np.array(["a", "b", "c"])[places], "p": np.full(600, 1 / 3),
            "clicked": random.random(600) < np.array([0.1, 0.2, 0.4])[places],
            "user": np.arange(600) // 2, "device": np.where(places == 0, "ios", "web"),
            "at": [dt.datetime(2026, 1, 1) + dt.timedelta(hours=i) for i in range(600)],
        }
    )  # fmt: skip


def best(folder):
    (result,) = evaluate(folder, [Table("c", {"": {"c": 1.0}})]).candidates
    return {one.estimator: one.value for one in result.estimates if one.value}


def test_a_table_is_a_log(table, tmp_path):
    """The mean of an arm's rows, by self-normalised estimates of a uniform log."""
    made = import_frame(table, tmp_path / "theirs", COLUMNS)

    assert (made.summary.rows, made.summary.counted) == (600, 600)
    assert (made.shown_arms, made.eligible_arms, made.least_propensity) == (3, 3, 1 / 3)
    mean = table.filter(pl.col("item") == "c")["clicked"].mean()
    assert best(tmp_path / "theirs")["snips"].value == pytest.approx(mean)


def test_whatever_hands_out_arrow_is_a_table(table, tmp_path):
    """Arrow, pandas and polars: the same estimates."""
    frames = {"polars": table, "arrow": table.to_arrow()}
    with suppress(ImportError):
        frames["pandas"] = table.to_pandas()
    found = []
    for name, frame in frames.items():
        import_frame(frame, tmp_path / name, COLUMNS)
        found.append(best(tmp_path / name)["ips"])

    assert [one.value for one in found] == pytest.approx([found[0].value] * len(found))
    assert [one.low for one in found] == pytest.approx([found[0].low] * len(found))


def test_bad_rows_are_counted_by_reason(table, tmp_path):
    """Not refused, and not silent."""
    p = [1 / 3] * 594 + [0.0, None, float("nan"), 1.7, 1e-320, -0.1]
    wrong = table.with_columns(
        p=pl.Series(p), clicked=pl.when(pl.int_range(pl.len()) < 5).then(None).otherwise("clicked")
    )

    made = import_frame(wrong, tmp_path / "theirs", COLUMNS)

    assert made.summary.left_out == {
        "propensity_above_one": 1, "propensity_below_floor": 1, "propensity_not_a_number": 2,
        "propensity_zero": 2, "reward_missing": 5,
    }  # fmt: skip
    assert next(one for one in made.checks if one.name == "defects").level == "stop"


def test_arms_and_probabilities_may_differ_by_row(tmp_path):
    """Lists of their own; an arm that is not among them is unknown; one id twice is a repeat."""
    table = pa.table(
        {
            "id": ["1", "2", "3", "3"], "arm": ["a", "b", "z", "z"], "propensity": [0.5, 0.25, 0.5, 0.5],
            "reward": [1, 0, 1, 1], "arms": [["a", "b"], ["a", "b", "c"], ["a", "b"], ["a", "b"]],
            "pmf": [[0.5, 0.5], [0.5, 0.25, 0.25], None, None],
        }
    )  # fmt: skip

    made = import_frame(table, tmp_path / "theirs", Columns(decision_id="id", arms="arms", pmf="pmf"))

    assert made.summary.left_out == {"repeated": 1, "unknown_arm": 1}
    assert (made.shown_arms, made.eligible_arms) == (2, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"arm": "nowhere"}, "column 'nowhere' is not there: there are item, p"),
        ({"propensity": "item"}, "column 'item' is .*: numbers are legal"),
        ({"time": "item"}, "timestamps are legal"),
        ({"context": ("colour",)}, "'colour' is not there"),
    ],
)
def test_a_mapping_that_does_not_fit_is_named(table, tmp_path, change, message):
    columns = Columns(**{**{f: getattr(COLUMNS, f) for f in COLUMNS.__struct_fields__}, **change})

    with pytest.raises(BadInput, match=message):
        import_frame(table, tmp_path / "theirs", columns)


def test_what_is_no_table_is_refused(tmp_path):
    with pytest.raises(BadInput, match="int is no table"):
        import_frame(3, tmp_path / "theirs")


def test_an_empty_table_is_an_empty_log(table, tmp_path):
    made = import_frame(table.head(0), tmp_path / "theirs", COLUMNS)

    assert made.summary.rows == 0
    assert evaluate(tmp_path / "theirs", [Uniform()]).candidates[0].verdict.startswith("red: no number")


CSV = """,timestamp,item_id,position,click,propensity_score,user_feature_0,user-item_affinity_0
0,2019-11-24 00:00:01.000001+00:00,14,3,0,0.0125,81ce,0.0
1,2019-11-24 00:00:00.000001+00:00,2,1,1,0.0125,81ce,0.0
"""


def test_the_open_bandit_dataset_is_a_log(tmp_path):
    """Positions are slots, items arms, oldest first."""
    (tmp_path / "all.csv").write_text(CSV)

    made = import_open_bandit(tmp_path / "all.csv", tmp_path / "obd")

    assert (made.summary.counted, made.shown_arms) == (2, 2)
    assert made.summary.first_decided_at.startswith("2019-11-24 00:00:00.000001")
    assert made.summary.loggers[0].policy == "random"


@pytest.mark.parametrize("text", ["a,b\n1,2\n", CSV.replace("2019-11-24 00:00:01", "then"), ""])
def test_another_csv_is_refused(tmp_path, text):
    (tmp_path / "all.csv").write_text(text)

    with pytest.raises(BadInput, match=r"all\.csv"):
        import_open_bandit(tmp_path / "all.csv", tmp_path / "obd")


def test_the_command_imports_a_table_and_says_what_is_wrong(table, tmp_path):
    """And one line with what is legal where a column is not."""
    table.write_parquet(tmp_path / "t.parquet")
    named = ["arm=item", "propensity=p", "reward=clicked", "unit_id=user", "time=at"]
    command = [
        "table",
        str(tmp_path / "t.parquet"),
        "--into",
        str(tmp_path / "theirs"),
        "--context",
        "device",
    ]

    done = CliRunner().invoke(app, [*command, *(f"--column={one}" for one in named)])
    wrong = CliRunner().invoke(app, [*command, "--column=colour=item"])

    assert done.exit_code == 0, done.output
    assert "600 of 600 rows count" in done.stdout
    assert (wrong.exit_code, wrong.stderr.count("\n")) == (2, 1)
    assert "legal: arm, propensity" in wrong.stderr
