"""The scan by itself: groups, optional columns, files that hide what is wrong, and what is left out."""

from __future__ import annotations

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from offline_eval.errors import BadSums
from offline_eval.estimators import ON_POLICY, Limits, estimators, plan_of
from offline_eval.estimators.base import difference, standard_error
from offline_eval.scan import partial, partials, scan_sql
from offline_eval.sums import combine
from offline_eval.terms import Plan
from tests.offline_eval.scored import LIMITS, NO_LIMITS, scan, scored, values

PLAN = plan_of(estimators(LIMITS))


def same(found, expected) -> None:
    """Values and errors of every estimator."""
    assert list(found) == list(expected)
    np.testing.assert_allclose(list(found.values()), list(expected.values()), rtol=1e-9)


def test_groups_of_one_scan_are_what_each_would_be_alone():
    """The whole, by day, by segment, and by both, with a group that has no name."""
    rows = scored(900, seed=1)
    day, segment = np.array(["mon", "tue", "wed"])[np.arange(900) % 3], np.arange(900) // 300
    table = pa.table(rows | {"day": day}).append_column("seg ment", pa.array(segment, mask=segment == 2))
    with duckdb.connect() as connection:
        connection.register("rows", table)
        by = ((), ("day",), ("seg ment",), ("day", "seg ment"))
        found = partials(connection, "rows", 0.3, PLAN, by)

    def alone(mask):
        return values(scan({name: column[mask] for name, column in rows.items()}))

    assert len(found) == 1 + 3 + 3 + 9
    same(values(found[()]), alone(np.ones(900, bool)))
    for name in ("mon", "tue", "wed"):
        same(values(found[(("day", name),)]), alone(day == name))
    same(values(found[(("seg ment", None),)]), alone(segment == 2))
    both = found[(("day", "tue"), ("seg ment", "1"))]
    same(values(both), alone((day == "tue") & (segment == 1)))


def test_groups_add_up_to_the_whole():
    """Also where some rows do not count: each is counted in its group."""
    rows = scored(600, seed=2) | {"day": np.arange(600) % 4}
    rows["propensity"] = np.where(np.arange(600) % 50 == 0, np.nan, rows["propensity"])
    rows["e"] = np.where(rows["day"] == 3, np.nan, rows["e"])
    with duckdb.connect() as connection:
        connection.register("rows", pa.table(rows))
        found = partials(connection, "rows", 0.3, PLAN, ((), ("day",)))

    parts = [sums for group, sums in found.items() if group]
    same(values(combine(parts)), values(found[()]))
    assert combine(parts).rejected == found[()].rejected
    assert found[(("day", "3"),)].rows == 0
    assert found[(("day", "3"),)].rejected["target_unknown"] == 150


def test_columns_that_are_not_there_are_done_without():
    """Reward, propensity and e are enough for IPS and its kin."""
    rows = scored(300, seed=3)
    few = scan({name: rows[name] for name in ("reward", "propensity", "e")})

    assert few.without_model == 300
    for name in ("ips", "snips", "beta_ips", "cips_10"):
        assert values(few)[name] == pytest.approx(values(scan(rows))[name])


@pytest.mark.parametrize("column", ["reward", "propensity", "e", "q", "v"])
def test_no_number_in_a_parquet_file_is_found_though_statistics_hide_it(column, tmp_path):
    """A file's statistics leave NaN out, so that a comparison may be answered without looking at the rows."""
    rows = scored(5_000, seed=4)
    rows[column] = np.where(np.arange(5_000) == 4_321, np.nan, rows[column])
    pq.write_table(pa.table(rows), tmp_path / "rows.parquet", row_group_size=1_000)

    with duckdb.connect() as connection:
        found = partial(connection, f"read_parquet('{tmp_path}/rows.parquet')", 0.3, PLAN)

    assert found.rows + sum(found.rejected.values()) == 5_000
    assert found.rejected or found.without_model == 1
    assert np.isfinite(values(found)["ips"]).all()


def test_decimals_and_booleans_are_numbers():
    """Whatever the type, rewards are summed as doubles."""
    rows = scored(200, seed=5)
    table = pa.table(rows)
    for kind in (pa.bool_(), pa.decimal128(10, 2), pa.int8()):
        other = table.set_column(0, "reward", table["reward"].cast(pa.int8()).cast(kind))
        with duckdb.connect() as connection:
            connection.register("rows", other)
            same(values(partial(connection, "rows", 0.3, PLAN)), values(scan(rows)))


def test_what_was_not_summed_is_unknown_and_not_zero():
    """A lean plan has no difference to the logger, and a term that was not planned is refused by name."""
    rows = scored(100, seed=6)
    with duckdb.connect() as connection:
        connection.register("rows", pa.table(rows))
        lean = partial(connection, "rows", 0.3, Plan((), against_logger=False, propensity_range=False))
    fits = {one.name: one.fit(lean) for one in estimators(NO_LIMITS)}

    assert np.isfinite(standard_error(lean, fits["snips"]))
    assert np.isnan(standard_error(lean, difference(fits["snips"], ON_POLICY.fit(lean))))
    with pytest.raises(BadSums, match="clip at 10 was not summed"):
        estimators(Limits())[1].fit(lean)


def test_a_weight_at_the_threshold_is_kept():
    """Ties of a hard switch: w <= L is in."""
    rows = scored(100, seed=7)
    rows["e"] = 2 * rows["propensity"]
    limits = Limits(switch=(2.0,), clip=(2.0,))

    found = values(scan(rows, limits=limits), limits)

    assert found["switch_dr_2"] == pytest.approx(found["dr"])
    assert found["cips_2"] == pytest.approx(found["ips"])


def test_the_heaviest_weights_are_kept_and_merge():
    """As many as were asked for, of all parts together."""
    rows = scored(400, seed=8)
    plan = PLAN._replace(heaviest=30)
    weights = np.sort(rows["e"] / rows["propensity"])[::-1]
    with duckdb.connect() as connection:
        parts = []
        for cut in (slice(0, 100), slice(100, 400)):
            connection.register("rows", pa.table({name: column[cut] for name, column in rows.items()}))
            parts.append(partial(connection, "rows", 0.3, plan))

    np.testing.assert_allclose(parts[0].heaviest, np.sort(weights_of(rows, slice(0, 100)))[::-1][:30])
    np.testing.assert_allclose(combine(parts).heaviest[:30], weights[:30])


def weights_of(rows, cut) -> np.ndarray:
    return rows["e"][cut] / rows["propensity"][cut]


def test_the_scan_is_one_statement_to_read():
    """For audit: every term by name, the rows' conditions, one pass."""
    sql = scan_sql("scored", 0.25, PLAN)

    assert sql.count("FROM scored") == 1
    assert "propensity >= 1e-06" in sql
