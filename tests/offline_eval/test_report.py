"""What readers get: never a number without its interval and the rows behind it."""

from __future__ import annotations

import io
import json
import re

import pytest
from rich.console import Console

from offline_eval.evaluate import evaluate
from offline_eval.forest import forest_frame, write_png
from offline_eval.report import print_report, to_html, to_json
from offline_eval.target_policy import Logged, Table, Uniform
from tests.offline_eval.logs import simulated_rows, write_log


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory):
    """Two candidates that can be evaluated and one that cannot."""
    log = write_log(tmp_path_factory.mktemp("report"), simulated_rows(500, seed=1))
    return evaluate(log, [Uniform(), Logged(), Table("<odd>", {"": {"never": 1.0}})])


def printed(evaluation, width: int) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    print_report(evaluation, console)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [80, 120])
def test_every_number_stands_beside_its_interval(evaluation, width):
    """A line of an estimator has its value, two intervals and the effective rows, or is withheld."""
    text = printed(evaluation, width)

    lines = [line for line in text.splitlines() if re.match(r"\s*(ips|snips|dr|cips_10) ", line)]
    assert len(lines) == 12
    for line in lines:
        assert "withheld" in line or len(re.findall(r"\[[^\]]+, [^\]]+\]", line)) == 2
    assert "verdict for uniform" in text


def test_a_withheld_number_has_its_reason(evaluation):
    """The table's foot says why."""
    assert "withheld: no row counts" in printed(evaluation, 100)


def test_json_holds_everything_and_no_infinity(evaluation):
    """What machines read: strict JSON, every estimate with its interval."""
    read = json.loads(to_json(evaluation), parse_constant=lambda name: pytest.fail(name))

    uniform = read["candidates"][0]
    assert set(uniform["estimates"][0]["value"]) == {"value", "low", "high", "standard_error"}
    assert read["log"]["rows"] == 500
    assert "SELECT" in read["scan"]


def test_the_page_is_self_contained_and_escaped(evaluation):
    """No script, no link, no font from elsewhere; names cannot inject markup."""
    page = to_html(evaluation)

    assert "<svg" in page
    assert "&lt;odd&gt;" in page
    assert "<odd>" not in page
    assert not re.search(r"<script|<link|@import|src=|href=", page)


def test_a_page_without_any_number_still_says_why(tmp_path):
    """An empty log makes a page, not an error."""
    page = to_html(evaluate(write_log(tmp_path, []), [Uniform()]))

    assert "No estimate can be drawn" in page
    assert "no row counts" in page


def test_the_plot_has_a_line_for_every_number(evaluation, tmp_path):
    """Two candidates with ten estimates; PNG is written."""
    write_png(evaluation, tmp_path / "forest.png")

    assert forest_frame(evaluation).height == 20
    assert (tmp_path / "forest.png").read_bytes().startswith(b"\x89PNG")
