"""The whole path, from Parquet to estimates, against figures that other people's code printed.

Random's log of the small Open Bandit Dataset, evaluated for its Bernoulli Thompson policy. The figures in
``reference/random_to_bts.json`` come from obp 0.5.7 and vw-estimators 0.2.2; the policy's probabilities stand
beside them. They are all that those two print of estimators that we have and that need no random numbers and
no logistic regression: IPS, SNIPS, DM, DR, SNDR; clipped IPS at 1, 2, 5, 10; sub-Gaussian IPS and DR at 0.01,
0.1, 0.5; clipped DR at 1, 5; Switch-DR at 1, 2, 5, 10; DRos at 0.1, 1, 10, 100; beta*-IPS with its beta;
replay, which is SNIPS there; standard errors, the gaussian and the Clopper-Pearson interval, the paired
difference to the logger, the sums, effective rows, the largest weight and its share, the test of the mean
weight, chi-square over arms.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from examples.fashion import dataset
from offline_eval.diagnostics import Gates
from offline_eval.doctor import Cell, sample_ratio
from offline_eval.estimators import Limits
from offline_eval.estimators.base import mean_fit, standard_error
from offline_eval.estimators.beta_ips import beta
from offline_eval.evaluate import Options, evaluate
from offline_eval.intervals.clopper_pearson import clopper_pearson
from offline_eval.results import CandidateResult
from offline_eval.reward_model import ModelSettings
from offline_eval.sums import sums_of_rows
from offline_eval.target_policy import Table
from offline_eval.terms import WEIGHT
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


def test_replay_of_a_uniform_log_is_its_self_normalised_estimate(case):
    """Random showed every item with one probability."""
    result, expected = case

    (replay,) = (one for one in result.estimates if one.estimator == "replay")

    assert replay.value.value == pytest.approx(expected["values"]["snips"], abs=TOLERANCE, rel=0)


def test_sums_and_the_control_variate_equal_the_reference(impressions):
    """What everything else is made of; beta* of beta*-IPS; the mean weight with its error."""
    for campaign, frame in impressions.items():
        expected, item, slot = REFERENCE[campaign], frame["item_id"].to_numpy(), frame["position"].to_numpy()
        r, p = frame["click"].to_numpy().astype(float), frame["propensity"].to_numpy()
        e = np.array(expected["probabilities"])[item, slot]
        w, sums = e / p, sums_of_rows(r, p, e)
        weight = mean_fit(sums, sums.unit(WEIGHT))

        assert beta(sums) == pytest.approx(expected["beta_star"], abs=TOLERANCE, rel=0)
        found = {"n": sums.rows, "sw": sums.weight, "sw2": sums.squared_weight, "swr": w @ r}
        found |= {"sw2r": w**2 @ r, "sw2r2": w**2 @ r**2, "sr": r.sum()}
        assert found == pytest.approx(expected["sums"], rel=1e-12)
        error = standard_error(sums, weight)
        assert [weight.value - sums.centre + 1, error] == pytest.approx(
            expected["mean_weight"], abs=TOLERANCE
        )


def test_clopper_pearson_equals_the_reference(impressions):
    """The interval on w r / wmax, from sums."""
    for campaign, frame in impressions.items():
        expected, item, slot = REFERENCE[campaign], frame["item_id"].to_numpy(), frame["position"].to_numpy()
        e = np.array(expected["probabilities"])[item, slot]
        sums = sums_of_rows(frame["click"].to_numpy(), frame["propensity"].to_numpy(), e)

        assert clopper_pearson(sums) == pytest.approx(expected["clopper_pearson"], abs=TOLERANCE, rel=0)


def test_arms_come_as_often_as_random_promised(impressions):
    """Chi-square over items and positions, with its chance: both as others have computed them."""
    for campaign, frame in impressions.items():
        counts = frame.group_by("position", "item_id").len()
        arms, shown = frame["item_id"].max() + 1, dict(frame.group_by("position").len().iter_rows())
        cells = [
            Cell(slot, str(item), n, shown[slot], 0.0, 0.0, shown[slot] / arms)
            for slot, item, n in counts.iter_rows()
        ]

        check = sample_ratio(cells, Gates())

        statistic, freedom, chance = REFERENCE[campaign]["action_chi2"]
        assert check.value == pytest.approx(chance, abs=TOLERANCE)
        assert f"chi-square {statistic:.1f} of {freedom}" in check.text


def test_diagnostics_equal_the_reference(case):
    """Effective rows, largest weight and the test of the mean weight."""
    result, expected = case
    checks = {check.name: check.value for check in result.checks}

    assert result.rows == 10_000
    assert result.effective_rows == pytest.approx(expected["effective_rows"], rel=1e-9)
    assert result.max_weight == pytest.approx(expected["max_weight"], rel=1e-9)
    assert checks["mean_weight"] == pytest.approx(expected["mean_weight_z"], rel=1e-9)
    assert checks["top_share"] == pytest.approx(expected["top_share"], rel=1e-9)


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
