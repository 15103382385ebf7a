"""What readers get: never a number without its interval and the rows behind it."""

from __future__ import annotations

import datetime as dt
import io
import json
import re

import pytest
from rich.console import Console

from offline_eval.evaluate import Options, evaluate
from offline_eval.forest import forest_frame, write_png
from offline_eval.page import to_html
from offline_eval.report import print_report, to_json
from offline_eval.target_policy import Logged, Table, Uniform, greedy
from tests.offline_eval.logs import START, row, simulated_rows, weights, write_log


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


def test_weights_and_limits_are_seen(evaluation):
    """A histogram of every row, a curve over limits, and a fingerprint, in JSON and on the page."""
    uniform = evaluation.candidates[0]

    assert sum(one.rows for one in uniform.weights) == uniform.rows == 500
    assert [one.low for one in uniform.weights] == sorted(one.low for one in uniform.weights)
    points = {one.estimate.estimator: one.estimate.value.value for one in uniform.curve}
    found = {one.estimator: one.value.value for one in uniform.estimates if one.value}
    assert points["cips_10"] == found["cips_10"]
    assert points["cips_100"] == pytest.approx(found["ips"])
    page = to_html(evaluation)
    assert page.count("<svg") == 4
    assert evaluation.fingerprint in page


def test_days_and_segments_have_their_tables(tmp_path):
    """Without being asked for, where there is more than one."""
    rows = [
        {**one, "segment": "ab"[i % 2], "decided_at": START + dt.timedelta(days=i % 3)}
        for i, one in enumerate(simulated_rows(300, seed=2))
    ]
    evaluation = evaluate(write_log(tmp_path, rows), [Uniform()])

    assert [one.group for one in evaluation.days] == ["2026-01-01", "2026-01-02", "2026-01-03"]
    assert [one.candidates[0].rows for one in evaluation.segments] == [150, 150]
    assert "<h2>By day</h2>" in to_html(evaluation)
    assert "<h2>By segment</h2>" in to_html(evaluation)


def test_the_fingerprint_is_of_what_was_read(tmp_path):
    """Threads do not change it; another reward, window, candidate, table and other weights do."""
    rows = simulated_rows(50, seed=3)
    log, other = write_log(tmp_path / "a", rows), write_log(tmp_path / "b", [*rows[:-1], row(99)])

    def of(folder, candidate=None, **options):
        return evaluate(folder, [candidate or Uniform()], options=Options(**options)).fingerprint

    def table(share):
        return Table("t", {"": {"red": share, "blue": 1 - share}})

    assert of(log) == of(log, threads=2, batch_rows=3)
    assert of(log, table(0.5)) == of(log, table(0.5))
    different = [Logged(), table(0.5), table(0.4), greedy(weights()), greedy(weights({3: 1.0}))]
    found = {of(log), of(other), of(log, level=0.9), *(of(log, one) for one in different)}
    assert len(found) == 3 + len(different)
