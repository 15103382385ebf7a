"""Candidates held against one of them: paired, on the rows that both can use."""

from __future__ import annotations

import io

import msgspec
import numpy as np
import pytest
from rich.console import Console

from offline_eval.errors import BadCandidate
from offline_eval.evaluate import Options, evaluate
from offline_eval.page import to_html
from offline_eval.report import print_report, to_json
from offline_eval.target_policy import Logged, Table, Uniform
from tests.offline_eval.logs import ARMS, DEVICES, row, simulated_rows, value_of, write_log

BEST = {device: {ARMS[place]: 1.0} for place, device in enumerate(DEVICES)}


def nearly_best(share: float) -> Table:
    """The best arm but for a share of the worst."""
    pmf = {device: {ARMS[place]: 1.0 - share, "grey": share} for place, device in enumerate(DEVICES)}
    return Table("nearly", pmf, "context.device")


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory):
    log = write_log(tmp_path_factory.mktemp("versus"), simulated_rows(3_000, seed=31), files=2)
    candidates = [Table("best", BEST, "context.device"), nearly_best(0.3), Uniform()]
    return evaluate(log, candidates, options=Options(against="nearly", batch_rows=700))


def test_every_other_candidate_is_held_against_the_named_one(evaluation):
    """Not against itself, and in the order of the candidates."""
    found = [(one.candidate, one.against) for one in evaluation.versus]

    assert found == [("best", "nearly"), ("uniform", "nearly")]
    assert all(one.rows == 3_000 for one in evaluation.versus)


def test_the_difference_is_that_of_the_values_and_holds_the_truth(evaluation):
    """Within five standard errors, which are smaller than of two values apart."""
    best = np.eye(3, 4)
    nearly = 0.7 * best + 0.3 * np.array([0, 0, 0, 1.0])
    truth = value_of(best) - value_of(nearly)
    values = {result.candidate: result.estimates for result in evaluation.candidates}

    for place, one in enumerate(evaluation.versus[0].estimates):
        if one.difference is None:
            continue
        left, right = values["best"][place].value, values["nearly"][place].value
        assert one.difference.value == pytest.approx(left.value - right.value, rel=1e-9)
        if one.estimator in ("ips", "snips", "beta_ips", "dr", "sndr"):
            assert abs(one.difference.value - truth) < 5 * one.difference.standard_error
        assert one.difference.standard_error < np.hypot(left.standard_error, right.standard_error)


def test_the_sentence_names_both(evaluation):
    """Better and worse than the one that was named."""
    assert evaluation.versus[0].verdict.startswith("green: better than nearly (dr +")
    assert evaluation.versus[1].verdict.startswith("green: worse than nearly")


def test_reports_have_it(evaluation):
    """Terminal, page and JSON."""
    console = Console(record=True, width=100, file=io.StringIO())
    print_report(evaluation, console)

    assert "best against nearly" in console.export_text()
    assert "<h2>best against nearly</h2>" in to_html(evaluation)
    assert msgspec.json.decode(to_json(evaluation))["versus"][0]["against"] == "nearly"


def test_what_one_side_cannot_say_the_difference_does_not(tmp_path):
    """No overlap of one: no difference but by the model."""
    log = write_log(tmp_path, [row(i, reward=float(i % 2)) for i in range(100)])

    (one,) = evaluate(
        log, [Uniform(), Table("other", {"": {"blue": 1.0}})], options=Options(against="other")
    ).versus

    assert {each.estimator for each in one.estimates if each.difference} <= {"dm"}


def test_nobody_of_that_name(tmp_path):
    """Named, with those that could be."""
    with pytest.raises(BadCandidate, match="legal: logged, uniform"):
        evaluate(write_log(tmp_path, [row(0)]), [Uniform(), Logged()], options=Options(against="nobody"))
