"""The nightly evaluation: when it begins, what it leaves, and that it says what everybody else is told."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
from pathlib import Path

import msgspec
import nbformat
import pytest
from nbclient import NotebookClient
from typer.testing import CliRunner

from offline_eval.evaluate import evaluate
from offline_eval.filing import FILE, PAGE, days_in, file_away
from offline_eval.nightly import ATTEMPTS, RETRY_MS, Nightly, main
from offline_eval.settings import evaluation_settings
from offline_eval.target_policy import Uniform
from sidecar.contracts.errors import BadSettings
from tests.offline_eval.logs import ARMS, START, simulated_rows, write_log
from tests.offline_eval.test_cli import app as command
from tests.waiting import until

MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
NIGHT_MS = 20_000 * DAY_MS + 4 * HOUR_MS
DAY = dt.datetime.fromtimestamp(NIGHT_MS / 1000, dt.UTC).date() - dt.timedelta(days=1)
ROOT = Path(__file__).parents[2]


class Watch:
    """A schedule on a clock of its own; what it has done is noted, and leaves a file where it ends well."""

    def __init__(self, folder, code=0):
        self.now_ms, self.folder, self.code, self.begun = NIGHT_MS - MINUTE_MS, folder, code, []

    def evaluate(self, until):
        self.begun.append(until.date())
        if not self.code:
            place = self.folder / (until.date() - dt.timedelta(days=1)).isoformat()
            place.mkdir(parents=True)
            (place / FILE).touch()
        return self.code

    def nightly(self):
        return Nightly("04:00", self.folder, self.evaluate, lambda: self.now_ms)


def test_it_begins_once_when_the_time_comes(tmp_path):
    """Not again on that day, whoever looks, and on the next day again; the window ends at midnight."""
    watch = Watch(tmp_path)
    nightly = watch.nightly()
    for minutes in range(0, 2880, 7):
        watch.now_ms = NIGHT_MS + minutes * MINUTE_MS
        nightly.look()
    watch.nightly().look()
    assert watch.begun == [DAY + dt.timedelta(days=1), DAY + dt.timedelta(days=2)]


def test_one_that_was_not_there_at_the_time_makes_up_for_it(tmp_path):
    """Before the time of the day the night before is what lacks."""
    watch = Watch(tmp_path)
    watch.nightly().look()
    assert watch.begun == [DAY]


def test_a_night_that_ends_badly_is_tried_again_later_and_given_up(tmp_path, caplog):
    """Three times in all, ten minutes apart; then the next night comes."""
    watch = Watch(tmp_path, code=2)
    nightly = watch.nightly()
    watch.now_ms = NIGHT_MS
    for _ in range(200):
        nightly.look()
        watch.now_ms += RETRY_MS // 4
    assert len(watch.begun) == ATTEMPTS
    assert "given up until tomorrow" in caplog.text
    watch.now_ms = NIGHT_MS + DAY_MS
    nightly.look()
    assert len(watch.begun) == ATTEMPTS + 1


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"at": "4:00"}, "at"),
        ({"at": "04:00", "keep": 0}, "keep"),
        ({"candidates": []}, "candidates"),
        ({"candidates": ["uniform", "greddy"]}, "'greddy' is not known; legal: uniform, "),
        ({"every": "night"}, "every"),
    ],
)
def test_settings_that_make_no_sense_are_refused_at_the_start(values, said):
    with pytest.raises(BadSettings, match=said):
        evaluation_settings(values, {})


def test_a_schedule_without_a_time_does_not_start(tmp_path, capsys):
    """Exit code 2, one line."""
    assert main(["--app", str(application(tmp_path)), "--data", str(tmp_path)], {}) == 2
    assert main(["--app", str(tmp_path / "nowhere")], {}) == 2
    assert "name a time of the day" in capsys.readouterr().err


def test_evaluations_are_whole_and_the_oldest_go(tmp_path):
    """Of what is no day of ours nothing is touched; the same day again replaces what was there."""
    found = evaluate(write_log(tmp_path, simulated_rows(100, seed=2)), [Uniform()])
    folder = tmp_path / "evaluations"
    (folder / "2026-notes").mkdir(parents=True)
    for day in (1, 3, 2, 3):
        path = file_away(found, folder, dt.date(2026, 3, day), keep=2)
    assert [day.day for day in days_in(folder)] == [2, 3]
    assert (folder / "2026-notes").is_dir()
    assert {one.name for one in path.parent.iterdir()} == {FILE, PAGE}
    assert json.loads(path.read_bytes())["candidates"][0]["candidate"] == "uniform"


def application(folder, section=""):
    """Of the log that ``write_log`` makes; its folder."""
    place = folder / "app"
    place.mkdir(exist_ok=True)
    (place / "app.toml").write_text(f'name = "test"\n[evaluation]\n{section}')
    (place / "arms.json").write_text(json.dumps([{"id": arm} for arm in ARMS]))
    return place


def of_the_last_days(folder, n=3_000):
    """A log whose decisions were made on the last whole days; its folder."""
    today = dt.datetime.now(dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    shift, rows = today - dt.timedelta(days=3) - START, simulated_rows(n, seed=3)
    for place, one in enumerate(rows):
        for name in ("decided_at", "finalised_at", "reward_at"):
            one[name] = one[name] and one[name] + shift + dt.timedelta(seconds=60 * place)
    return write_log(folder, rows, files=4)


def by_notebook(folder, log, since, until, into):
    """What a data scientist writes, in a kernel of its own."""
    source = f"""
from datetime import datetime
from pathlib import Path
from offline_eval.dataset import Window
from offline_eval.evaluate import Options, evaluate
from offline_eval.report import to_json
from offline_eval.reward_model import ModelSettings
from offline_eval.target_policy import Table, Uniform
window = Window(datetime.fromisoformat({since!r}), datetime.fromisoformat({until!r}))
half = Table("half", {{"": {{"red": 0.5, "blue": 0.5}}}})
options = Options(model=ModelSettings(("context.device",)), by=("context.device",), against="uniform")
found = evaluate(Path({str(log)!r}), [Uniform(), half], window, options)
Path({str(into)!r}).write_bytes(to_json(found))
"""
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    NotebookClient(book, timeout=120, resources={"metadata": {"path": str(folder)}}).execute()
    return into.read_bytes()


SECTION = """at = "00:00"
candidates = ["uniform", "table:half.json"]
against = "uniform"
keys = ["context.device"]
by = ["context.device"]
"""


@pytest.mark.slow
def test_nightly_job_notebook_and_command_say_the_same(tmp_path, monkeypatch):
    """``evaluation.json`` is equal to the byte: numbers, intervals, verdicts, fingerprint."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    log, place = of_the_last_days(tmp_path), application(tmp_path, SECTION)
    half = {"name": "half", "probabilities": {"": {"red": 0.5, "blue": 0.5}}}
    (place / "half.json").write_bytes(msgspec.json.encode(half))

    said, filed = by_night(place, tmp_path)

    since, until_ = (
        (dt.date.fromisoformat(filed.parent.name) + dt.timedelta(days=days)).isoformat() + "T00:00:00+00:00"
        for days in (-6, 1)
    )
    answer = tmp_path / "command.json"
    done = CliRunner().invoke(command, [
        "--log", str(log), "--candidate", "uniform", "--candidate", f"table:{place / 'half.json'}",
        "--against", "uniform", "--key", "context.device", "--by", "context.device",
        "--since", since, "--until", until_, "--json", str(answer), "--quiet",
    ])  # fmt: skip
    assert done.exit_code == 0, done.output
    by_hand = by_notebook(tmp_path, log, since, until_, tmp_path / "notebook.json")
    assert filed.read_bytes() == answer.read_bytes() == by_hand
    read = json.loads(by_hand)
    assert read["log"]["counted"] == 3_000
    assert all(f"{one['candidate']}: {one['verdict']}; " in said for one in read["candidates"])
    assert (filed.parent / PAGE).read_text().startswith("<!doctype html>")


def by_night(place, data):
    """The schedule as a process of its own: the line that it said, and the file."""
    schedule = [sys.executable, "-m", "offline_eval.nightly", "--app", str(place), "--data", str(data)]
    folder, log = data / "evaluations" / "test", data / "nightly.log"
    with log.open("wb") as out, subprocess.Popen(schedule, stdout=out, stderr=out) as process:
        try:
            until(lambda: "; " in log.read_text(), 60.0)
        finally:
            process.terminate()
    (line,) = [one for one in log.read_text().splitlines() if one.startswith("evaluation of")]
    (day,) = days_in(folder)
    return line, folder / day.isoformat() / FILE
