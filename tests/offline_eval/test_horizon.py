"""Windows: what each would have caught, estimated from rewards of which the late ones are not all in yet."""

from __future__ import annotations

import datetime as dt

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from decision_service.cli.main import root
from offline_eval.engine import connect
from offline_eval.errors import BadLog
from offline_eval.horizon import Delays, caught, judge, reach
from tests.offline_eval.logs import START, row, write_log

HORIZON_S = 60.0  # that of logs.row


def write_late(log, entries):
    """(decision id, kind, moment, value) as the archiver writes them."""
    folder = log / "late" / "app=test" / "dt=2026-01-01"
    folder.mkdir(parents=True)
    names = ("decision_id", "kind", "at", "value")
    table = pa.Table.from_pylist([dict(zip(names, entry, strict=True)) for entry in entries])
    pq.write_table(table, folder / "0-1-0.parquet")


def simulated_log(folder, n=4000, mean_s=50.0, seed=1, spacing_s=1.0):
    """Every decision is rewarded after an exponential delay: joined, late, or not yet at the log's end."""
    random = np.random.default_rng(seed)
    rows, late = [], []
    end = START + dt.timedelta(seconds=n * spacing_s)
    for i in range(n):
        delay = dt.timedelta(seconds=float(random.exponential(mean_s)))
        decided = START + dt.timedelta(seconds=i * spacing_s)
        joined = delay.total_seconds() <= HORIZON_S
        changes = {"reward": 1.0, "reward_source_n": 1, "reward_at": decided + delay}
        missing = {"reward": 0.0, "reward_source_n": 0, "reward_at": None}
        one = row(
            i,
            decided_at=decided,
            finalised_at=decided + dt.timedelta(seconds=60),
            **(changes if joined else missing),
        )
        if one["finalised_at"] <= end:
            rows.append(one)
            if not joined and decided + delay <= end:
                late.append((one["decision_id"], "L", decided + delay, 1.0))
    log = write_log(folder, rows, files=3)
    write_late(log, late)
    return log


def window(report, seconds):
    return next(one for one in report.windows if one.window_s == seconds)


def test_shares_are_those_of_the_delays_that_were_drawn(tmp_path):
    """Exponential delays of 50 s: windows within and beyond the horizon, to a few hundredths."""
    report = judge(simulated_log(tmp_path), connect())
    of_all = 1 - np.exp(-report.reach_s / 50)
    for seconds in (10.0, 60.0, 300.0):
        truth = (1 - np.exp(-seconds / 50)) / of_all
        assert window(report, seconds).rewards == pytest.approx(truth, abs=0.03)
    assert window(report, 60.0).seen == "joined"
    assert window(report, 300.0).seen == "late"
    assert report.recommended_s == 300.0
    assert "present 1 min catch" in report.reason


def test_a_young_log_does_not_flatter_short_windows():
    """Most decisions are too young for the long delays: counting what came would overstate every window."""
    random = np.random.default_rng(2)
    delay, age = random.exponential(100.0, 50_000), random.uniform(0.0, 400.0, 50_000)
    seen = delay <= age
    delays = Delays(delay[seen], age[seen], np.ones(seen.sum()), np.ones(seen.sum()))
    far = reach(delays)
    truth = (1 - np.exp(-0.5)) / (1 - np.exp(-far / 100))
    assert caught(50.0, delays, delays.value, far) == pytest.approx(truth, abs=0.02)
    assert np.mean(delays.delay_s <= 50.0) > truth + 0.05


def test_without_truncation_it_is_the_plain_share():
    """All decisions are old enough: what came within a window, by count and by value."""
    random = np.random.default_rng(3)
    delay, value = random.exponential(10.0, 500), random.exponential(1.0, 500)
    delays = Delays(delay, np.full(500, 1e6), value, np.ones(500))
    far = float(delay.max())
    for seconds in (0.5, 5.0, 20.0, far):
        assert caught(seconds, delays, np.ones(500), far) == pytest.approx(np.mean(delay <= seconds))
        assert caught(seconds, delays, value, far) == pytest.approx(
            value[delay <= seconds].sum() / value.sum()
        )


def test_value_counts_beside_number(tmp_path):
    """Small rewards come at once, large ones late: by value the window must be longer."""
    rows = [row(i, reward=1.0, reward_at=START + dt.timedelta(seconds=i + 5)) for i in range(100)]
    log = write_log(tmp_path, [*rows, row(5000)])  # which ends the log, and is too young to say anything
    write_late(
        log, [(rows[i]["decision_id"], "L", START + dt.timedelta(seconds=i + 1000), 50.0) for i in range(40)]
    )
    report = judge(log, connect(), target=0.7)
    assert window(report, 60.0).rewards == pytest.approx(100 / 140)
    assert window(report, 60.0).value == pytest.approx(100 / 2100)
    assert (report.recommended_s, report.late) == (1800.0, 40)


def test_what_says_nothing_about_delays_is_left_out_and_counted(tmp_path):
    """Imports, late rewards of decisions that are not in the log, over the limit, contradicting."""
    rows = [row(i) for i in range(50)] + [row(50 + i, source="import") for i in range(7)]
    log = write_log(tmp_path, rows)
    at = START + dt.timedelta(seconds=500)
    kinds = [
        ("nobody", "P"),
        (rows[0]["decision_id"], "O"),
        (rows[1]["decision_id"], "X"),
        (rows[2]["decision_id"], "P"),
    ]
    write_late(log, [(name, kind, at, 1.0) for name, kind in kinds])
    report = judge(log, connect())
    assert report.left_out == {"imported": 7, "late_of_unknown": 1, "over_limit": 1, "contradicting": 1}
    assert (report.rewarded, report.late) == (50, 1)


def test_a_log_without_late_rewards_is_judged_up_to_its_horizon(tmp_path):
    """Longer windows are not seen, and nobody pretends."""
    report = judge(write_log(tmp_path, [row(i) for i in range(50)]), connect())
    assert window(report, 300.0).seen == "beyond"
    assert window(report, 300.0).value is None
    assert any("nothing is known beyond" in note for note in report.notes)


def test_too_few_rewards_are_refused(tmp_path):
    """One line with the number."""
    with pytest.raises(BadLog, match="holds 3 rewards"):
        judge(write_log(tmp_path, [row(i) for i in range(3)]), connect())


def test_the_command_prints_a_table_and_writes_files(tmp_path):
    """JSON for machines, a page, a picture."""
    log = simulated_log(tmp_path / "log", n=600)
    paths = {kind: tmp_path / f"out.{kind}" for kind in ("json", "html", "png")}
    options = [part for kind, path in paths.items() for part in (f"--{kind}", str(path))]
    result = CliRunner().invoke(root(), ["horizon", "--log", str(log), *options], env={"COLUMNS": "150"})
    assert result.exit_code == 0, result.output
    assert "recommended: 5 min" in result.output
    assert "late rewards only" in result.output
    assert msgspec.json.decode(paths["json"].read_bytes())["recommended_s"] == 300.0
    assert "<svg" in paths["html"].read_text()
    assert paths["png"].read_bytes().startswith(b"\x89PNG")


def test_a_folder_without_a_log_is_one_line(tmp_path):
    """With the way to name one."""
    result = CliRunner().invoke(root(), ["horizon", "--log", str(tmp_path)])
    assert isinstance(result.exception, BadLog)


def test_what_was_never_activated_says_nothing_about_delays(tmp_path):
    """Nobody saw it: neither its rewards nor their absence count."""
    sound = [row(i) for i in range(40)]
    report = judge(write_log(tmp_path, [*sound, row(40, activated=False)]), connect())
    assert report.decisions == 40
    assert report.left_out == {"not_activated": 1}


def test_a_thinned_stretch_of_the_log_weighs_as_the_whole_one_would(tmp_path):
    """Of slow rewards half were shed by overload: the share is that of the log without overload."""
    quick = [row(i) for i in range(60)]  # five seconds each
    slow = [row(100 + i, reward_at=START + dt.timedelta(seconds=130 + i)) for i in range(60)]
    thinned = [one | {"inclusion_probability": 0.5} for one in slow[::2]]
    whole, half = (
        judge(write_log(tmp_path / name, [*quick, *rows]), connect())
        for name, rows in (("whole", slow), ("half", thinned))
    )
    assert window(whole, 10.0).rewards == window(half, 10.0).rewards == 0.5
