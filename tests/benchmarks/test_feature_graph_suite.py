"""What the suite says when a Python, a loop or Hamilton is missing, and when a measurement dies."""

from __future__ import annotations

import platform
import sys

import pytest

from benchmarks import __main__ as command
from benchmarks.feature_graph import pythons, suite
from benchmarks.feature_graph.pythons import Interpreter
from benchmarks.feature_graph.suite import Place, measure_twice, summary
from benchmarks.figures import Absent, Broken, Figure

HERE = Interpreter("py3", sys.executable, platform.python_version())
"""This very Python, with neither uvloop nor Hamilton as far as the suite knows."""


def figure(name: str, ratio: float) -> Figure:
    return Figure(name, ratio, "ms", 1.0, "theirs", at_most=2.0)


@pytest.fixture(autouse=True)
def _no_patience(monkeypatch):
    """The machine that runs tests is busy with them."""
    monkeypatch.setattr(suite, "wait_for_calm", lambda: True)


def quiet(line: str) -> None:
    """Nobody reads along."""


def test_a_gate_is_measured_in_a_process_of_its_own_and_says_where():
    """Names carry gate, Python, loop and part; rows carry what machine it was."""
    rows = measure_twice("B8", Place(HERE, "asyncio"), quiet)

    assert [row.name for row in rows] == [
        f"feature_graph.B8.py3.asyncio{part}" for part in ("", ".derived_between", ".some_between")
    ]
    facts = rows[0].as_row()
    assert (facts["python"], facts["loop"], facts["pass"]) == (platform.python_version(), "asyncio", True)
    assert facts["machine"] == suite.machine()


@pytest.mark.parametrize(
    ("place", "why"),
    [
        (Place(HERE, "uvloop"), "uvloop is not installed for py3"),
        (Place(Interpreter("py312", None, "3.12", why_not="not found"), "asyncio"), "not found"),
    ],
)
def test_a_place_that_is_not_there_is_absent_and_said(place, why):
    """Neither passed nor missed."""
    said = []
    (row,) = measure_twice("B1", place, said.append)

    assert row == Absent(f"feature_graph.B1.{place.name}", why)
    assert said == [f"feature_graph.B1.{place.name}: absent: {why}"]


def test_a_measurement_that_dies_is_tried_once_more_and_then_broken():
    """With its last word."""
    said = []
    (row,) = measure_twice("B0", Place(HERE, "asyncio"), said.append)

    assert row == Broken("feature_graph.B0.py3.asyncio", "KeyError: 'B0'")
    assert said[0] == "feature_graph.B0.py3.asyncio: missed, once more …"


def test_a_missed_gate_that_passes_the_second_time_passes(monkeypatch):
    """Neighbours are real."""
    ratios = iter([3.0, 1.0])
    monkeypatch.setattr(suite, "_measure", lambda gate, place, attempt: [figure("x", next(ratios))])

    assert [row.passed for row in measure_twice("B1", Place(HERE, "asyncio"), quiet)] == [True]


def test_nobody_waits_for_calm_beyond_patience(monkeypatch):
    """A machine that is never calm is measured all the same."""
    monkeypatch.undo()
    monkeypatch.setattr(suite, "CALM", 2.0)

    assert suite.wait_for_calm(patience_s=0.1) is False


def test_hamilton_that_is_not_installed_is_absent_beside_the_gates_that_want_it(monkeypatch):
    """And does not keep them from passing."""
    monkeypatch.setattr(suite, "_measure", lambda gate, place, attempt: [figure("x", 1.0)])
    rows = measure_twice("B5", Place(HERE, "asyncio"), quiet)

    assert rows[1] == Absent(
        "feature_graph.B5.py3.asyncio.hamilton", "apache-hamilton is not installed for py3"
    )
    assert summary("B5", rows).passed is True


def test_the_sum_of_a_gate_is_its_figure_nearest_to_the_limit():
    """With the gate's own name, and the worst one's."""
    total = summary("B1", [figure("a", 1.0), figure("b", 1.9), Figure("c", 9.0, "ms", 1.0, "reported")])

    assert (total.name, total.ratio, total.passed) == ("feature_graph.B1", 1.9, True)
    assert total.as_row()["worst"] == "b"


def test_the_sum_of_a_gate_is_missed_by_one_figure_broken_by_one_error_and_open_while_one_is_absent():
    """All is what "All pass" means."""
    good, absent = figure("a", 1.0), Absent("b", "no Python 3.12")

    assert summary("B1", [good, figure("b", 2.1)]).passed is False
    assert summary("B1", [good, absent]).passed is None
    assert summary("B1", [good, absent]).as_row()["absent"] == "b: no Python 3.12"
    assert summary("B1", [absent]).passed is None
    assert summary("B1", [good, figure("b", 2.1), absent]).passed is False
    assert summary("B1", [good, Broken("c", "died")]) == Broken("feature_graph.B1", "c: died")


def test_a_python_that_is_nowhere_is_said_with_the_knob_that_helps(monkeypatch):
    """A version, or a command that does not run."""
    monkeypatch.setenv("PYTHONS", "3.99 /nowhere/python")
    version, path = pythons.interpreters(quiet)

    assert (version.tag, version.python, path.python) == ("py399", None, None)
    assert version.why_not.startswith("Python 3.99 was not found; PYTHONS=")
    assert path.why_not.startswith("/nowhere/python was not found")


def test_this_python_is_found_by_its_version_and_by_its_path():
    """And asked for its full version."""
    version = platform.python_version()

    assert pythons.find(".".join(version.split(".")[:2])) == (sys.executable, version)
    assert pythons.find(sys.executable) == (sys.executable, version)


def test_gates_are_chosen_by_name_and_strangers_refused(monkeypatch, capsys):
    """``python -m benchmarks feature_graph B3`` is the gate alone; so is ``python -m benchmarks B3``."""
    for words in (["feature_graph", "B3"], ["B3"]):
        monkeypatch.setattr(sys, "argv", ["benchmarks", *words])
        assert command._asked_for() == (["feature_graph"], ["B3"])
    monkeypatch.setattr(sys, "argv", ["benchmarks", "B11"])
    with pytest.raises(SystemExit):
        command._asked_for()
    assert "no suite or gate 'B11'" in capsys.readouterr().err


def test_the_table_says_what_became_of_every_row():
    """Passed, missed, so far, absent and broken are told apart."""
    rows = [
        figure("a", 1.0),
        figure("b", 3.0),
        figure("c", 1.0)._replace(lacks="d: gone"),
        Absent("d", "gone"),
        Broken("e", "died"),
    ]
    said = command.table(rows).splitlines()

    for line, word in zip(
        said, ("pass ", "MISSED", "pass so far", "absent: gone", "BROKEN: died"), strict=True
    ):
        assert word in line
