"""The whole path, from Parquet to estimates, against figures that other people's code printed.

Random's log of the small Open Bandit Dataset, evaluated for its Bernoulli Thompson policy. The figures in
``reference/random_to_bts.json`` come from obp 0.5.7 and vw-estimators 0.2.2; the policy's probabilities stand
beside them.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import polars as pl
import pytest

from examples.fashion import dataset
from offline_eval.estimators import Limits
from offline_eval.evaluate import Options, evaluate
from offline_eval.results import CandidateResult
from offline_eval.reward_model import ModelSettings
from offline_eval.target_policy import Table
from tests.offline_eval.logs import row, write_log

REFERENCE = json.loads((Path(__file__).parent / "reference" / "random_to_bts.json").read_text())
TOLERANCE = 1e-9
LIMITS = Limits(
    clip=(1.0, 2.0, 5.0, 10.0),
    sub_gaussian=(0.01, 0.1, 0.5),
    switch=(1.0, 2.0, 5.0, 10.0),
    optimistic=(0.1, 1.0, 10.0, 100.0),
    clipped_dr=(1.0, 5.0),
    sub_gaussian_dr=(0.01, 0.1, 0.5),
)


@pytest.fixture(scope="module")
def impressions() -> dict[str, pl.DataFrame]:
    """Random's log by campaign. Where CI is set it must be had; on a laptop without network this skips."""
    try:
        return {campaign: dataset.read("random", campaign) for campaign in REFERENCE}
    except dataset.DatasetUnavailable as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="module", params=sorted(REFERENCE))
def case(request, impressions, tmp_path_factory) -> tuple[CandidateResult, dict]:
    """The evaluation of one campaign, and what it should say."""
    expected = REFERENCE[request.param]
    log = _imported(tmp_path_factory.mktemp(request.param), impressions[request.param])
    probabilities = {
        str(slot): {str(arm): pmf[slot] for arm, pmf in enumerate(expected["probabilities"])}
        for slot in range(3)
    }
    options = Options(limits=LIMITS, model=ModelSettings(("slot",), prior_rows=100, folds=1))
    evaluation = evaluate(log, [Table("bts", probabilities, by="slot")], options=options)
    return evaluation.candidates[0], expected


def test_every_estimate_equals_the_reference(case):
    """Every estimator at every limit that the reference has, to 1e-9, from a Parquet log."""
    result, expected = case

    found = {one.estimator: one.value.value for one in result.estimates if one.estimator != "replay"}

    assert found == pytest.approx(expected["values"], abs=TOLERANCE, rel=0)
    assert result.on_policy.value.value == pytest.approx(expected["on_policy"], abs=TOLERANCE, rel=0)


def test_standard_errors_and_the_gaussian_interval_equal_the_reference(case):
    """The closed-form errors, too, are those that others compute from the rows."""
    result, expected = case

    found = {one.estimator: one.value for one in result.estimates}

    errors = {name: found[name].standard_error for name in expected["standard_errors"]}
    assert errors == pytest.approx(expected["standard_errors"], abs=TOLERANCE, rel=0)
    assert [found["ips"].low, found["ips"].high] == pytest.approx(
        expected["ips_interval"], abs=TOLERANCE, rel=0
    )


def test_the_difference_to_the_logger_is_paired(case):
    """The interval of a difference is that of the row-wise differences, not of two separate means."""
    result, expected = case

    ips = next(one for one in result.estimates if one.estimator == "ips").difference

    assert [ips.value, ips.standard_error] == pytest.approx(
        expected["difference_of_ips"], abs=TOLERANCE, rel=0
    )


def test_diagnostics_equal_the_reference(case):
    """Effective rows, largest weight and the test of the mean weight."""
    result, expected = case
    checks = {check.name: check.value for check in result.checks}

    assert result.rows == 10_000
    assert result.effective_rows == pytest.approx(expected["effective_rows"], rel=1e-9)
    assert result.max_weight == pytest.approx(expected["max_weight"], rel=1e-9)
    assert checks["mean_weight"] == pytest.approx(expected["mean_weight_z"], rel=1e-9)


def _imported(folder: Path, frame: pl.DataFrame) -> Path:
    """The impressions as a log: a position is a slot, the other arms' probabilities are not known."""
    arms = tuple(str(item) for item in range(frame["item_id"].max() + 1))
    rows = [
        row(
            i, arms, slot=one["position"], decided_at=one["timestamp"], source="import", policy="random",
            arm=str(one["item_id"]), arm_index=one["item_id"], propensity=one["propensity"],
            reward=float(one["click"]), scores=None, pmf=None, event=b"-",
        )
        for i, one in enumerate(frame.iter_rows(named=True))
    ]  # fmt: skip
    return write_log(folder, rows, arms, files=2)
