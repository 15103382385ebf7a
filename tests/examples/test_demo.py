"""The demo: wipes only its own folder, speaks plainly without a terminal, and ends with nothing running."""

import io
import os
import sys

import pytest
from rich.console import Console

from examples.demo.__main__ import clean_environ, fresh_folder
from examples.demo.live import models_table, why_table
from examples.demo.screen import Screen
from sidecar.contracts.errors import BadSettings
from tests.processes import pid_exists


def test_a_folder_that_the_demo_did_not_make_is_not_wiped(tmp_path):
    """Somebody's data stays."""
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(BadSettings, match="not made by the demo"):
        fresh_folder(tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "keep"


def test_its_own_folder_is_wiped(tmp_path):
    """A second demo begins anew."""
    left = fresh_folder(tmp_path / "demo").root / "left.txt"
    left.touch()
    fresh_folder(tmp_path / "demo")
    assert not left.exists()


def test_a_real_store_is_never_used(monkeypatch):
    """Addresses and settings from outside do not reach the demo's processes."""
    outside = {"REDIS_URL": "redis://production", "FEATURE_STORE_URL_FILE": "/url", "SIDEARM_DATA": "/srv"}
    for name, value in outside.items():
        monkeypatch.setenv(name, value)
    assert not set(outside) & set(clean_environ())


def test_without_a_terminal_figures_are_plain_lines_at_a_measured_pace():
    """No control characters; a line every few seconds, and one when all is done."""
    out, clock = io.StringIO(), iter([0.0, 0.0, 1.0, 6.0, 6.0, 7.0, 7.0])
    screen = Screen(Console(file=out, width=120), now_s=lambda: next(clock))
    with screen.bar("sessions", 100) as show:
        show(10, "too early")
        show(40, "after a while")
        show(100, "at the end")
    assert out.getvalue() == "  sessions 40/100  after a while\n  sessions 100/100  at the end\n"


def test_why_an_arm_was_shown_is_told_with_its_largest_parts_and_what_they_leave():
    """Chosen arm and runner-up side by side; each column adds up to the score in its head."""
    parts = [{"features": [f"context.f{n}", "arm.id=a"], "contribution": 0.1 * n} for n in (6, 5, 4, 3, 2, 1)]
    arms = [
        {"arm": "a", "role": "chosen", "score": 2.1, "parts": parts, "others": 0.0, "n_others": 0},
        {"arm": "b", "role": "runner_up", "score": 0.5, "parts": [], "others": 0.5, "n_others": 3},
    ]
    told = printed(why_table({"arms": arms}))
    assert "a: 2.100 (chosen)" in told
    assert "b: 0.500 (runner-up)" in told
    assert "+0.600  context.f6 × arm.id=a" in told
    assert "+0.300  2 others" in told
    assert "+0.500  3 others" in told


def test_models_are_told_with_what_is_known_of_them():
    """A dash where nothing is; the challenger's interval beside it."""
    known = {"role": "champion", "answers": 0.8, "auc": 0.71234, "reward": 0.2, "reward_error": 0.01}
    new = {"role": "challenger", "answers": 0.2, "auc": None, "reward": None, "reward_error": None}
    contest = {"challenger": "new", "difference": 0.01, "lower": -0.1, "upper": 0.12, "verdict": "undecided"}
    models = {"models": [{"name": "old", **known}, {"name": "new", **new}], "contests": [contest]}
    told = printed(models_table(models))
    assert "old champion 80% 0.712 0.200 ± 0.020" in " ".join(told.split())
    assert "new challenger 20% – –" in " ".join(told.split())
    assert "+0.010 (-0.100 to +0.120, at any time): undecided" in told


def printed(table) -> str:
    out = io.StringIO()
    Console(file=out, width=160).print(table)
    return out.getvalue()


@pytest.mark.slow
def test_the_fast_demo_ends_well_with_everything_stopped(processes, data_folder):
    """Exit code 0, tables and plots there, no mismatch, no control character, no process left."""
    command = [sys.executable, "-m", "examples.demo", "--fast", "--data", str(data_folder.root / "demo")]
    demo = processes.run(command, "demo", {"FORCE_COLOR": ""})
    assert demo.exit_code(deadline_s=600.0) == 0, demo.output()
    said = demo.output()
    assert "\x1b" not in said
    assert "\r" not in said
    assert said.count("; 0 mismatches") == 2
    assert "Bernoulli TS" in said
    assert "Learned: " in said
    assert all(word in said for word in ("with nothing restarted", "curious", "careful", "Why '"))
    reports = data_folder.root / "demo" / "reports"
    expected = {
        "fashion.html",
        "fashion-forest.png",
        "shop.html",
        "shop-forest.png",
        "shop-learning-curve.png",
    }
    assert {path.name for path in reports.iterdir()} == expected
    assert not processes_of(str(data_folder.root))


def processes_of(folder: str) -> list[int]:
    """Processes that name the folder on their command line."""
    found = []
    for pid in (int(name) for name in os.listdir("/proc") if name.isdigit()):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                if folder.encode() in file.read() and pid_exists(pid):
                    found.append(pid)
        except OSError:
            continue
    return found
