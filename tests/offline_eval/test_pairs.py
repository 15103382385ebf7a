"""Two policies on the same rows: the paired difference equals the row-wise one, however the rows were cut."""

from __future__ import annotations

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from offline_eval.estimators import estimators
from offline_eval.estimators.base import plan_of
from offline_eval.pairs import combine_pairs, delta, delta_beta, partial_pair
from tests.offline_eval.scored import LIMITS, scored, values

PLAN = plan_of(estimators(LIMITS))


def two_policies(n: int, seed: int) -> dict[str, np.ndarray]:
    """A second policy between the first and the logger."""
    rows = scored(n, seed)
    return rows | {"e_2": (rows["e"] + rows["propensity"]) / 2, "v_2": rows["v"] * 0.9}


def scan_pair(rows, centre=0.3):
    with duckdb.connect() as connection:
        connection.register("rows", pa.table(rows))
        return partial_pair(connection, "rows", centre, PLAN)


def row_wise(rows, name: str) -> tuple[float, float]:
    """Difference and standard error of a mean, from scores of single rows."""
    r, p, q = rows["reward"], rows["propensity"], rows["q"]
    scores = []
    for e, v in (("e", "v"), ("e_2", "v_2")):
        w = rows[e] / p
        scores.append(w * r if name == "ips" else rows[v] if name == "dm" else rows[v] + w * (r - q))
    d = scores[0] - scores[1]
    return float(d.mean()), float(d.std(ddof=1) / np.sqrt(len(d)))


@pytest.mark.parametrize("name", ["ips", "dm", "dr"])
def test_the_difference_of_means_is_that_of_the_rows(name):
    """IPS, DM and DR: value and error of the row-wise differences."""
    rows = two_policies(3_000, seed=1)
    (estimator,) = (one for one in estimators(LIMITS) if one.name == name)

    found = delta(scan_pair(rows), estimator)

    assert (found.value, found.standard_error) == pytest.approx(row_wise(rows, name), rel=1e-9)


def test_every_estimator_has_a_paired_difference_narrower_than_two_intervals():
    """Policies that are alike share most of their error."""
    pair = scan_pair(two_policies(3_000, seed=2))
    left, right = values(pair.left), values(pair.right)

    for one in estimators(LIMITS):
        found = delta(pair, one)
        apart = np.hypot(left[one.name][1], right[one.name][1])
        assert found.value == pytest.approx(left[one.name][0] - right[one.name][0], rel=1e-9)
        assert 0 < found.standard_error < 0.8 * apart, one.name


def test_the_self_normalised_difference_has_the_influence_of_both():
    """SNIPS of two policies by hand, from influences of single rows."""
    rows = two_policies(2_000, seed=3)
    influences, ratios = [], []
    for e in ("e", "e_2"):
        w = rows[e] / rows["propensity"]
        ratios.append((w * rows["reward"]).sum() / w.sum())
        influences.append(w * (rows["reward"] - ratios[-1]) / w.sum())
    (snips,) = (one for one in estimators(LIMITS) if one.name == "snips")

    found = delta(scan_pair(rows), snips)

    assert found.value == pytest.approx(ratios[0] - ratios[1], rel=1e-9)
    error = np.sqrt(((influences[0] - influences[1]) ** 2).sum())
    assert found.standard_error == pytest.approx(error, rel=1e-9)


def test_a_policy_less_itself_is_exactly_nothing():
    """The same column twice: no difference, and no error."""
    rows = scored(500, seed=4)
    pair = scan_pair(rows | {"e_2": rows["e"], "v_2": rows["v"]})

    for one in estimators(LIMITS):
        assert delta(pair, one).value == 0.0
        assert delta(pair, one).standard_error == pytest.approx(0.0, abs=1e-9)
    assert delta_beta(pair).value == 0.0


@pytest.mark.parametrize("centres", [(0.3, 0.3, 0.3), (0.3, -2.0, 5.0)])
def test_parts_sum_to_the_whole(centres):
    """Cut in three, each part centred as it likes."""
    rows = two_policies(900, seed=5)
    parts = [
        scan_pair({name: column[start : start + 300] for name, column in rows.items()}, centre)
        for start, centre in zip((0, 300, 600), centres, strict=True)
    ]

    together, whole = combine_pairs(parts), scan_pair(rows)

    for one in estimators(LIMITS):
        found, expected = delta(together, one), delta(whole, one)
        assert found.value == pytest.approx(expected.value, rel=1e-8, abs=1e-12)
        assert found.standard_error == pytest.approx(expected.standard_error, rel=1e-7)


def test_the_best_baseline_makes_the_difference_surer_and_moves_with_nothing():
    """Delta-beta-IPS: no less sure than plain IPS, and unmoved when rewards are shifted."""
    rows = two_policies(3_000, seed=6)
    shifted = rows | {"reward": rows["reward"] + 5.0}
    (ips,) = (one for one in estimators(LIMITS) if one.name == "ips")

    near, far = delta_beta(scan_pair(rows)), delta_beta(scan_pair(shifted, 5.3))

    assert near.standard_error <= delta(scan_pair(rows), ips).standard_error
    assert (far.value, far.standard_error) == pytest.approx((near.value, near.standard_error), rel=1e-9)


def test_a_row_that_one_of_them_cannot_use_counts_for_neither():
    """Counted by reason, on both sides."""
    rows = two_policies(50, seed=7)
    rows["e_2"] = np.where(np.arange(50) == 3, np.nan, rows["e_2"])

    pair = scan_pair(rows)

    assert (pair.left.rows, pair.right.rows) == (49, 49)
    assert pair.left.rejected == pair.right.rejected == {"target_unknown": 1}
