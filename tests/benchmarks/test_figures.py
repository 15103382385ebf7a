"""A gate that cannot fail is a bug: figures know when they are missed, and the file says so."""

from __future__ import annotations

import json

import pytest

from benchmarks.figures import Absent, Broken, Figure, write


def figure(value: float, **gate: float) -> Figure:
    return Figure("suite.figure", value, "ms", 2.0, "theirs", **gate)


@pytest.mark.parametrize(
    ("value", "gate", "passed"),
    [
        (4.0, {"at_least": 2.0}, True),
        (3.9, {"at_least": 2.0}, False),
        (0.0, {"at_least": 2.0}, False),
        (4.0, {"at_most": 2.0}, True),
        (4.1, {"at_most": 2.0}, False),
        (99.0, {}, True),
    ],
)
def test_a_gate_is_met_up_to_its_limit_and_missed_beyond(value, gate, passed):
    """Both kinds, the smallest ratio that passes and the largest; without one it is only reported."""
    assert figure(value, **gate).passed is passed
    assert figure(value, **gate).as_row()["pass"] is passed


def test_the_row_tells_value_yardstick_ratio_and_which_way_the_gate_goes():
    """Whoever reads the file needs no code to know what would have been missed."""
    row = figure(3.0, at_most=2.5).as_row()

    told = {key: row[key] for key in ("value", "yardstick", "ratio", "gate", "gate_is", "pass")}
    assert told == {
        "value": 3.0,
        "yardstick": 2.0,
        "ratio": 1.5,
        "gate": 2.5,
        "gate_is": "at most",
        "pass": True,
    }


def test_a_figure_that_lacks_a_part_is_no_pass_but_may_be_missed():
    """What could not be measured is not taken to be good."""
    assert figure(3.0, at_most=2.5)._replace(lacks="Python 3.12").as_row()["pass"] is None
    assert figure(9.0, at_most=2.5)._replace(lacks="Python 3.12").as_row()["pass"] is False


def test_absent_is_not_passed_and_broken_is_missed():
    """Two words for two things: there was nothing to measure with, or measuring ended in an error."""
    assert (Absent("a", "not here").passed, Broken("b", "died").passed) == (None, False)
    assert Absent("a", "not here").as_row()["pass"] is None
    assert Broken("b", "died").as_row() == {"value": None, "error": "died", "pass": False}


def test_the_file_keeps_other_rows_and_forgets_what_stood_below_a_new_one(tmp_path):
    """A row of a Python that is no longer there would else stand for ever beside the new sum."""
    path = tmp_path / "build" / "bench.json"
    write([Absent("g.B1.py310", "old"), Absent("g.B10", "old"), Absent("serving.x", "old")], path)
    write([Absent("g.B1", "new")], path)

    assert set(json.loads(path.read_text())) == {"g.B1", "g.B10", "serving.x"}
