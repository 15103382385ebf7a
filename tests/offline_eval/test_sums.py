"""The one scan: its sums, how they merge, and which rows it refuses."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offline_eval.errors import BadSums
from offline_eval.estimators import Limits, estimators, plan_of
from offline_eval.sums import combine, empty, recentred
from tests.offline_eval.scored import LIMITS, NO_LIMITS, in_memory, scan, scored, values

SHRUNK = plan_of(estimators(LIMITS)).shrunk
BAD = [
    ("reward", None, "reward_missing"),
    ("reward", np.nan, "reward_not_finite"),
    ("reward", np.inf, "reward_not_finite"),
    ("propensity", None, "propensity_missing"),
    ("propensity", np.nan, "propensity_not_a_number"),
    ("propensity", 0.0, "propensity_zero"),
    ("propensity", -0.1, "propensity_zero"),
    ("propensity", 1.7, "propensity_above_one"),
    ("propensity", np.inf, "propensity_above_one"),
    ("propensity", 1e-320, "propensity_below_floor"),
    ("inclusion_probability", 0.0, "inclusion_probability_invalid"),
    ("inclusion_probability", np.nan, "inclusion_probability_invalid"),
    ("inclusion_probability", None, "inclusion_probability_invalid"),
    ("e", None, "target_unknown"),
    ("e", np.nan, "target_unknown"),
    ("e", -0.1, "target_invalid"),
    ("e", 1.1, "target_invalid"),
]
"""Column of a scored row, a bad value, and the reason under which the row is counted."""


def approximately(expected: dict, rel: float = 1e-11):
    return {name: pytest.approx(pair, rel=rel, abs=1e-14) for name, pair in expected.items()}


@functools.cache
def _values_of_400():
    return values(scan(scored(400, seed=3)))


@pytest.mark.parametrize("limits", [LIMITS, Limits(clip=(0.5, 1.0, 3.0)), NO_LIMITS])
def test_the_scan_equals_the_same_sums_in_numpy(limits):
    """SQL and a second, independent computation agree on every sum and so on every estimate."""
    rows = scored(5_000, seed=1)

    by_sql, by_numpy = scan(rows, float(rows["reward"].mean()), limits), in_memory(rows, limits)

    known = ~np.isnan(by_sql.second)
    np.testing.assert_allclose(by_sql.first, by_numpy.first, atol=1e-9)
    np.testing.assert_allclose(by_sql.second[known], by_numpy.second[known], rtol=1e-11, atol=1e-9)
    assert values(by_sql, limits) == approximately(values(by_numpy, limits))
    assert by_sql.shrunk_weight == pytest.approx(by_numpy.shrunk_weight)
    assert by_sql.propensities == by_numpy.propensities


@settings(deadline=None)  # the first example pays for the imports of DuckDB
@given(cuts=st.lists(st.integers(0, 400), max_size=6), seed=st.integers(0, 2**16))
def test_parts_in_any_order_and_centre_sum_to_the_whole(cuts, seed):
    """However a log is cut, ordered and centred, combining the parts gives what one scan gives."""
    random = np.random.default_rng(seed)
    rows, order = scored(400, seed=3), random.permutation(400)
    pieces = np.split(order, sorted(cuts))
    parts = [in_memory({name: column[piece] for name, column in rows.items()}) for piece in pieces]

    whole = combine([parts[i] for i in random.permutation(len(parts))])

    assert whole.rows == 400
    assert values(whole) == approximately(_values_of_400())


def test_the_centre_changes_rounding_only():
    """Any constant may be subtracted from rewards; changing it afterwards is exact, too."""
    rows = scored(2_000, seed=4)

    near, far = scan(rows, 0.4), scan(rows, -50.0)

    assert values(far) == approximately(values(near), rel=1e-9)
    assert values(recentred(near, 2.0)) == approximately(values(scan(rows, 2.0)))


@pytest.mark.parametrize(("offset", "rel"), [(1e3, 1e-9), (1e6, 1e-7), (1e8, 1e-5)])
def test_rewards_far_from_zero_lose_no_digits_of_the_interval(offset, rel):
    """With rewards near 1e8, plain sums of squares would be wrong thousandfold; SNIPS' must not move."""
    near, far = scored(5_000, seed=5), scored(5_000, seed=5, offset=offset)

    before, after = values(scan(near)), values(scan(far, centre=float(far["reward"].mean())))

    for name in ("on_policy", "snips", "beta_ips", "sndr"):
        assert after[name][1] == pytest.approx(before[name][1], rel=rel)
        assert after[name][0] - offset == pytest.approx(before[name][0], abs=offset * 1e-13)


def test_a_row_kept_with_probability_one_half_counts_twice():
    """Estimates of a thinned log weigh rows by 1/inclusion_probability, in numerator and denominator.

    The baseline of beta*-IPS is the best one for the thinned log: another number, and rightly so.
    """
    rows = scored(300, seed=6)
    thinned = {name: np.asarray(column)[:200] for name, column in rows.items()}
    thinned["inclusion_probability"] = np.where(np.arange(200) < 100, 0.5, 1.0)
    doubled = {name: np.concatenate([column[:100], column[:200]]) for name, column in rows.items()}

    found, expected = scan(thinned), scan(doubled)

    assert found.rows == 200
    assert found.total == expected.total == 300.0
    for name, (value, error) in values(found).items():
        assert name == "beta_ips" or value == pytest.approx(values(expected)[name][0])
        assert error > values(expected)[name][1]


@pytest.mark.parametrize(("column", "value", "reason"), BAD)
def test_a_bad_row_is_counted_by_reason_and_moves_nothing(column, value, reason):
    """One bad value: one more rejected row, and every estimate stays what it was."""
    rows = scored(50, seed=7)
    bad = {name: [*array.tolist(), array[0]] for name, array in rows.items()}
    bad[column][-1] = value

    found = scan(bad)

    assert found.rejected == {reason: 1}
    assert found.rows == 50
    assert values(found) == approximately(values(scan(rows)))


@pytest.mark.parametrize("missing", ["q", "v"])
def test_rows_without_a_model_are_counted(missing):
    """Without q or v a row still serves IPS; DM and DR learn that the model is missing."""
    rows = scored(20, seed=8)
    rows[missing] = np.where(np.arange(20) < 3, np.nan, rows[missing])

    found = scan(rows)

    assert found.without_model == 3
    assert values(found)["ips"] == pytest.approx(values(scan(scored(20, seed=8)))["ips"])


def test_integer_rewards_are_numbers():
    """Integers and decimals are cast in the scan."""
    rows = scored(30, seed=9)
    whole = rows | {"reward": rows["reward"].astype(np.int64)}

    assert values(scan(whole)) == values(scan(rows))


def test_no_rows_are_the_neutral_element():
    """An empty part changes nothing; an empty relation has empty sums."""
    rows = scored(40, seed=10)

    assert values(combine([empty(shrunk=SHRUNK), scan(rows), empty(7.0, SHRUNK)])) == approximately(
        values(scan(rows))
    )
    assert scan({name: column[:0] for name, column in rows.items()}).rows == 0


def test_parts_that_do_not_belong_together_are_refused():
    """Different clip limits, or no parts at all."""
    with pytest.raises(BadSums, match="different limits"):
        combine([empty(shrunk=()), empty()])
    with pytest.raises(BadSums, match="nothing to combine"):
        combine([])
