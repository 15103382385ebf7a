"""Whatever is wrong with a log, ``sidearm evaluate`` counts it by reason and says it in the verdict.

No number is silent about the rows that it leaves out, and nothing ends in a traceback. Each test is one bad
input by the command line, with its exit code, the counts in its JSON, and the sentence.
"""

from __future__ import annotations

import datetime as dt
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
from typer.testing import CliRunner

from offline_eval.cli import evaluate_command
from sidecar.contracts.weights import encode_weights
from tests.offline_eval.logs import row, simulated_rows, weights, write_log

app = typer.Typer()
app.command()(evaluate_command)
SOUND = simulated_rows(1_200, seed=71)
SLOW = pytest.mark.slow
"""What differs from its neighbours by a value only is asked by ``make test-all``."""


def said(log, folder, *arguments: object, candidate: str = "uniform") -> tuple[dict, str]:
    """What the command writes of a log, and its verdict."""
    out = folder / "evaluation.json"
    options = ["--log", log, "--candidate", candidate, "--json", out, *arguments]
    result = CliRunner().invoke(app, [str(one) for one in options])
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    found = json.loads(out.read_text())
    return found, found["candidates"][0]["verdict"]


def values(found: dict) -> dict[str, float]:
    estimates = found["candidates"][0]["estimates"]
    return {one["estimator"]: one["value"]["value"] for one in estimates if one["value"]}


def numbers(found: dict) -> list[str]:
    return list(values(found))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"propensity": 0.0}, "propensity_zero"),
        pytest.param({"propensity": float("nan")}, "propensity_not_a_number", marks=SLOW),
        pytest.param({"propensity": 1.7}, "propensity_above_one", marks=SLOW),
        pytest.param({"propensity": 1e-320}, "propensity_below_floor", marks=SLOW),
        pytest.param({"propensity": None}, "propensity_missing", marks=SLOW),
        pytest.param({"arm": "purple"}, "unknown_arm", marks=SLOW),
        pytest.param({"reward": float("inf")}, "reward_not_finite", marks=SLOW),
    ],
)
def test_one_bad_row_is_counted_and_said_and_many_withhold_the_number(tmp_path, changes, reason):
    """One in 1,200 is borne, by its name; five are more than one in a thousand."""
    one, many = (
        _written(tmp_path / str(n), [*SOUND[n:], *(row(9_000 + i, event=b"-", **changes) for i in range(n))])
        for n in (1, 5)
    )

    found, verdict = said(one, tmp_path)
    sick, refused = said(many, tmp_path)

    assert found["log"]["left_out"] == {reason: 1}
    assert f"1 rows are defective (0.08%, 1 {reason})" in verdict
    assert "dr" in numbers(found)
    assert sick["log"]["left_out"] == {reason: 5}
    assert refused.startswith("red: no number")
    assert f"5 {reason}" in refused
    assert numbers(sick) == []


def test_an_empty_log_is_said_to_be(tmp_path):
    found, verdict = said(write_log(tmp_path, []), tmp_path)

    assert (found["log"]["rows"], numbers(found)) == (0, [])
    assert verdict == "red: no number; no row counts"


def test_one_row_is_no_evidence(tmp_path):
    found, verdict = said(write_log(tmp_path, [row(0)]), tmp_path)

    assert (found["log"]["counted"], numbers(found)) == (1, [])
    assert verdict.startswith("red: no number")


def test_days_that_have_not_matured_are_named(tmp_path):
    """Half of the last day's rewards are missing: counted, named, and in no mean."""
    late = [
        one | {"decided_at": one["decided_at"] + dt.timedelta(days=i >= 1_000)}
        | ({"reward": None} if i >= 1_000 and i % 2 else {})
        for i, one in enumerate(SOUND)
    ]  # fmt: skip

    found, verdict = said(write_log(tmp_path, late), tmp_path)

    assert found["log"]["left_out"] == {"reward_missing": 100}
    assert verdict.startswith("amber")
    assert "least on 2026-01-02: 50.0%" in verdict


def test_a_few_rewards_that_are_missing_are_said_too(tmp_path):
    """Fewer than one in a hundred are no doubt, and no secret."""
    found, verdict = said(write_log(tmp_path, [SOUND[0] | {"reward": None}, *SOUND[1:]]), tmp_path)

    assert verdict.startswith("green")
    assert "99.9% of decisions have their reward" in verdict
    assert found["log"]["left_out"] == {"reward_missing": 1}


@pytest.mark.parametrize(("times", "level"), [(1, "green"), (20, "amber")])
def test_rows_that_stand_twice_count_once(tmp_path, times, level):
    found, verdict = said(write_log(tmp_path, [*SOUND, *SOUND[:times]], files=3), tmp_path)

    assert (found["log"]["counted"], found["log"]["left_out"]) == (1_200, {"repeated": times})
    assert verdict.startswith(level)
    assert f"{times} rows stand twice" in verdict


def _half(path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _empty(path) -> None:
    path.write_bytes(b"")


def _text(path) -> None:
    path.write_bytes(b"no parquet at all")


def _foreign(path) -> None:
    pq.write_table(pa.table({"reward": [1.0], "arm": ["red"]}), path)


def _other_types(path) -> None:
    table = pq.read_table(path, partitioning=None)
    place = table.column_names.index("propensity")
    pq.write_table(table.set_column(place, "propensity", pa.array(["often"] * len(table))), path)


def _torn_inside(path) -> None:
    """Its footer is whole; what it says of the rewards' bytes is not there."""
    columns = pq.read_metadata(path).row_group(0)
    all_ = [columns.column(place) for place in range(columns.num_columns)]
    (one,) = (column for column in all_ if column.path_in_schema == "reward")
    begin = one.dictionary_page_offset or one.data_page_offset
    torn = bytearray(path.read_bytes())
    torn[begin : begin + one.total_compressed_size] = bytes(one.total_compressed_size)
    path.write_bytes(torn)


@pytest.mark.parametrize(
    ("tear", "reason"),
    [
        (_half, "file_unreadable"),
        pytest.param(_empty, "file_unreadable", marks=SLOW),
        pytest.param(_text, "file_unreadable", marks=SLOW),
        (_foreign, "file_foreign"),
        pytest.param(_other_types, "file_foreign", marks=SLOW),
        pytest.param(_torn_inside, "file_damaged", marks=SLOW),
    ],
)
def test_a_file_that_cannot_be_read_does_not_hide_the_others(tmp_path, tear, reason):
    """Counted by reason, named in the verdict; the numbers are those of the other files alone."""
    log, without = (write_log(tmp_path / name, SOUND, files=4) for name in ("torn", "without"))
    place = sorted(log.rglob("*.parquet"))[2].relative_to(log)
    tear(log / place)
    (without / place).unlink()

    found, verdict = said(log, tmp_path)
    rest, _ = said(without, tmp_path)

    assert found["log"]["lost"] == {str(place): reason}
    assert (found["log"]["files"], found["log"]["rows"]) == (3, 900)
    assert verdict.startswith("amber")
    assert f"1 of 4 files cannot be read (1 {reason}: {place})" in verdict
    assert values(found) == pytest.approx(values(rest), rel=1e-12)


def test_decisions_that_a_model_cannot_score_are_no_traceback(tmp_path):
    """The stored events of one file are torn: seen when a model asks for them."""
    log = write_log(tmp_path, [one | {"event": b"-" * 40} if i == 7 else one for i, one in enumerate(SOUND)])
    record = tmp_path / "weights.bin"
    record.write_bytes(encode_weights(weights()))

    result = CliRunner().invoke(app, ["--log", str(log), "--candidate", "greedy", "--weights", str(record)])

    assert (result.exit_code, result.stderr.count("\n")) == (2, 1), result.output


@pytest.mark.parametrize("options", [("--candidate", "greedy"), ("--reward-model", "vw")])
def test_a_torn_catalogue_is_named(tmp_path, options):
    """Arms are needed to score, and to learn what to expect of them."""
    log = write_log(tmp_path, SOUND[:40])
    (path,) = (log / "catalogues").iterdir()
    _half(path)
    record = tmp_path / "weights.bin"
    record.write_bytes(encode_weights(weights()))

    result = CliRunner().invoke(app, ["--log", str(log), "--weights", str(record), *options])

    assert (result.exit_code, result.stderr.count("\n")) == (2, 1), result.output
    assert f"{path} cannot be read" in result.stderr


def test_no_file_at_all_that_can_be_read_is_one_line(tmp_path):
    log = write_log(tmp_path, SOUND[:40], files=2)
    for path in log.rglob("*.parquet"):
        _half(path)

    result = CliRunner().invoke(app, ["--log", str(log)])

    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "no file is a decision log" in result.stderr


def _written(folder, rows):
    """A log whose columns may all be null, as those of other writers."""
    log = write_log(folder, rows[:1])
    path = next(log.rglob("*.parquet"))
    schema = pq.read_schema(path)
    loose = pa.schema([field.with_nullable(True) for field in schema])
    pq.write_table(pa.Table.from_pylist([dict(one) for one in rows], schema=loose), path)
    return log
