"""The demo: wipes only its own folder, speaks plainly without a terminal, and ends with nothing running."""

import io
import os
import sys

import pytest
from rich.console import Console

from examples.demo.__main__ import clean_environ, fresh_folder
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
    """REDIS_URL and settings from outside do not reach the demo's processes."""
    monkeypatch.setenv("REDIS_URL", "redis://production")
    monkeypatch.setenv("SIDEARM_DATA", "/srv/data")
    assert not [name for name in clean_environ() if name == "REDIS_URL" or name.startswith("SIDEARM_")]


def test_without_a_terminal_figures_are_plain_lines_at_a_measured_pace():
    """No control characters; a line every few seconds, and one when all is done."""
    out, clock = io.StringIO(), iter([0.0, 0.0, 1.0, 6.0, 6.0, 7.0, 7.0])
    screen = Screen(Console(file=out, width=120), now_s=lambda: next(clock))
    with screen.bar("sessions", 100) as show:
        show(10, "too early")
        show(40, "after a while")
        show(100, "at the end")
    assert out.getvalue() == "  sessions 40/100  after a while\n  sessions 100/100  at the end\n"


@pytest.mark.slow
def test_the_fast_demo_ends_well_with_everything_stopped(processes, data_folder):
    """Exit code 0, tables and plots there, no mismatch, no control character, no process left."""
    command = [sys.executable, "-m", "examples.demo", "--fast", "--data", str(data_folder.root / "demo")]
    demo = processes.run(command, "demo", {"FORCE_COLOR": ""})
    assert demo.exit_code(deadline_s=150.0) == 0, demo.output()
    said = demo.output()
    assert "\x1b" not in said
    assert "\r" not in said
    assert said.count("; 0 mismatches") == 2
    assert "Bernoulli TS" in said
    assert "Learned: " in said
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
