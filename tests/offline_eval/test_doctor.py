"""The log's health: what is wrong shows, and what is right raises no alarm."""

from __future__ import annotations

import numpy as np
import pytest

from offline_eval.dataset import open_log
from offline_eval.diagnostics import Gates
from offline_eval.doctor import action_cells, examine, sample_ratio
from offline_eval.engine import connect
from offline_eval.evaluate import Options, evaluate
from offline_eval.pareto import pareto_k
from offline_eval.target_policy import Uniform
from tests.offline_eval.logs import ARMS, row, simulated_rows, write_log


def checks(folder, rows) -> dict[str, object]:
    """Name to check."""
    log = open_log(connect(), write_log(folder, rows))
    return {check.name: check for check in examine(log, Gates())}


@pytest.fixture(scope="module")
def rows():
    return simulated_rows(3_000, seed=21)


def test_a_sound_log_raises_no_alarm(rows, tmp_path):
    """Every check is made, and none doubts."""
    found = checks(tmp_path, rows)

    assert set(found) == {
        "matured",
        "clock",
        "chance",
        "pmf_mass",
        "action_mass",
        "sample_ratio",
        "quantised",
    }
    assert {check.level for check in found.values()} == {"ok"}


def test_an_empty_log_has_nothing_to_check(tmp_path):
    """No row, no check, no error."""
    assert checks(tmp_path, []) == {}


def test_days_that_have_not_matured_are_named(rows, tmp_path):
    """A day whose rewards are missing: its share, and its date."""
    late = [one | {"reward": None} if i >= 2_900 else one for i, one in enumerate(rows)]

    found = checks(tmp_path, late)["matured"]

    assert found.level == "caution"
    assert found.value == pytest.approx(2_900 / 3_000)
    assert "2026-01-01" in found.text


def test_propensities_of_another_draw_are_found_by_mass_and_by_counts(rows, tmp_path):
    """Logged uniform, drawn greedily: arms come as often as they were drawn, not as logged."""
    lied = [one | {"propensity": 0.25, "pmf": [0.25] * 4} for one in rows]

    found = checks(tmp_path, lied)

    assert (found["action_mass"].level, found["sample_ratio"].level) == ("caution", "caution")
    assert abs(found["action_mass"].value) > 10


def test_without_the_other_arms_probabilities_mass_is_what_is_left(rows, tmp_path):
    """Imports know one propensity a row."""
    found = checks(tmp_path, [one | {"pmf": None} for one in rows])

    assert "sample_ratio" not in found
    assert found["action_mass"].level == "ok"
    assert "pmf_mass" not in found


def test_distributions_that_are_none_stop_the_log(rows, tmp_path):
    """They sum to 1.5, or have a negative entry, or one that is no number."""
    for wrong in ([0.5, 0.5, 0.25, 0.25], [1.2, -0.2, 0.0, 0.0], [float("nan"), 0.5, 0.25, 0.25]):
        broken = [one | {"pmf": wrong} if i % 100 == 0 else one for i, one in enumerate(rows)]
        found = checks(tmp_path / str(wrong[0]), broken)["pmf_mass"]
        assert (found.level, found.value) == ("stop", pytest.approx(0.01)), wrong


def test_propensities_of_one_that_nobody_flagged_stop_the_log(tmp_path):
    """Nothing was left to chance: no estimate that divides by propensities is given."""
    log = write_log(tmp_path, [row(i, propensity=1.0, pmf=[1.0, 0, 0, 0], reward=i % 2) for i in range(100)])

    (result,) = evaluate(log, [Uniform()]).candidates

    assert {one.estimator for one in result.estimates if one.value} == {"dm"}
    assert "left nothing to chance" in result.verdict


def test_propensities_from_draws_are_recognised(rows, tmp_path):
    """Shares of 10,000 draws that do not say so; and those that do."""
    random = np.random.default_rng(3)
    shares = random.integers(500, 9_500, len(rows)) / 10_000
    silent = [one | {"propensity": float(p), "pmf": None} for one, p in zip(rows, shares, strict=True)]

    assert "10,000 draws" in checks(tmp_path / "silent", silent)["quantised"].text
    said = [one | {"propensity_mc_n": 10_000} for one in silent]
    assert checks(tmp_path / "said", said)["quantised"].level == "ok"


def test_defective_rows_turn_the_verdict_red(rows, tmp_path):
    """More than one in a thousand without a propensity: no number of whatever kind."""
    broken = [one | {"propensity": 0.0} if i % 500 == 0 else one for i, one in enumerate(rows)]

    (result,) = evaluate(write_log(tmp_path, broken), [Uniform()], options=Options()).candidates

    assert not any(one.value for one in result.estimates)
    assert result.on_policy.value is None
    assert result.verdict.startswith("red: no number")
    assert "6 propensity_zero" in result.verdict


def test_a_few_defective_rows_are_borne(rows, tmp_path):
    """Two of 3,000: counted, and the number stands."""
    broken = [one | {"propensity": 0.0} if i % 1_500 == 0 else one for i, one in enumerate(rows)]

    (result,) = evaluate(write_log(tmp_path, broken), [Uniform()]).candidates

    assert result.verdict.startswith("green")


def test_counts_of_arms_are_those_of_the_log(rows, tmp_path):
    """Shown, eligible and expected, by arm."""
    log = open_log(connect(), write_log(tmp_path, rows))

    cells = action_cells(log)

    assert {cell.arm for cell in cells} == set(ARMS)
    assert sum(cell.shown for cell in cells) == 3_000
    assert all(cell.eligible == 3_000 for cell in cells)
    assert sum(cell.expected for cell in cells) == pytest.approx(3_000)
    assert sample_ratio([], Gates()) is None


@pytest.mark.parametrize("k", [0.3, 0.6, 0.9])
def test_the_shape_of_the_tail_is_found(k):
    """Weights of a Pareto distribution of a known shape, 100,000 of them."""
    weights = np.sort(1 + np.random.default_rng(5).pareto(1 / k, 100_000))[::-1]

    assert pareto_k(weights[:1_000], 100_000) == pytest.approx(k, abs=0.12)


def test_weights_of_few_values_have_no_tail():
    """As those of policies without context, and where there are few rows."""
    assert pareto_k(np.repeat([8.0, 4.0, 2.0], 400), 10_000) is None
    assert pareto_k(np.arange(20.0)[::-1], 20) is None
    assert pareto_k(np.zeros(0), 0) is None
