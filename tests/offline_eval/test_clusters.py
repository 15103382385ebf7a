"""Sums by bucket and by unit: errors that know of users."""

from __future__ import annotations

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from offline_eval.clusters import bucket_sums, clustered, clustered_by, combine_buckets
from offline_eval.errors import BadSums
from offline_eval.estimators import estimators, plan_of
from offline_eval.estimators.base import standard_error
from offline_eval.intervals.bootstrap import bootstrap, resampled
from offline_eval.scan import partial
from offline_eval.terms import Plan
from tests.offline_eval.scored import LIMITS, scored

PLAN = plan_of(estimators(LIMITS))


@pytest.fixture
def connection():
    with duckdb.connect() as made:
        yield made


def of_users(n: int, seed: int, rows_of_user: int = 10) -> dict[str, np.ndarray]:
    unit = np.arange(n) // rows_of_user
    return scored(n, seed) | {"unit_id": unit, "unit_bucket": (unit % 1024).astype(np.int16)}


def by_hand(rows, cluster) -> float:
    """SNIPS' error from influences of rows, summed by cluster."""
    w = rows["e"] / rows["propensity"]
    influence = w * (rows["reward"] - (w * rows["reward"]).sum() / w.sum()) / w.sum()
    sums = np.bincount(cluster, influence)
    sums = sums[np.bincount(cluster) > 0]
    return float(np.sqrt((sums**2).sum() * len(sums) / (len(sums) - 1)))


def snips_of(sums):
    (snips,) = (one for one in estimators(LIMITS) if one.name == "snips")
    return snips.fit(sums)


def test_errors_by_bucket_and_by_unit_are_those_of_the_rows(connection):
    """SNIPS by hand, in buckets and exactly by unit; 3,000 users share 1,024 buckets."""
    rows = of_users(30_000, seed=1)
    connection.register("rows", pa.table(rows))
    sums = partial(connection, "rows", 0.4, PLAN)

    bucketed = clustered(sums, bucket_sums(connection, "rows", 0.3, PLAN))
    exact = clustered_by(connection, "rows", sums, "unit_id", PLAN)

    fit = snips_of(sums)
    assert standard_error(bucketed, fit) == pytest.approx(by_hand(rows, rows["unit_bucket"]), rel=1e-9)
    assert standard_error(exact, fit) == pytest.approx(by_hand(rows, rows["unit_id"]), rel=1e-9)


def test_every_estimator_has_an_error_by_cluster(connection):
    """Where every row is its own cluster, errors are the plain ones but for (n - 1)."""
    rows = scored(900, seed=2) | {"unit_bucket": np.arange(900).astype(np.int16)}
    connection.register("rows", pa.table(rows))
    sums = partial(connection, "rows", 0.4, PLAN)
    by_row = clustered(sums, bucket_sums(connection, "rows", 0.4, PLAN))

    for one in estimators(LIMITS):
        fit = one.fit(sums)
        assert standard_error(by_row, fit) == pytest.approx(standard_error(sums, fit), rel=2e-3), one.name


def test_buckets_of_parts_add_up(connection):
    """Files apart and together; rows that break a rule are in neither."""
    rows = of_users(2_000, seed=3)
    rows["propensity"] = np.where(np.arange(2_000) % 97 == 0, np.nan, rows["propensity"])
    for name, cut in {"a": slice(0, 700), "b": slice(700, None), "whole": slice(None)}.items():
        connection.register(name, pa.table({key: column[cut] for key, column in rows.items()}))

    parts = combine_buckets([bucket_sums(connection, name, 0.4, PLAN) for name in ("a", "b")])

    whole = bucket_sums(connection, "whole", 0.4, PLAN)
    np.testing.assert_allclose(parts.first, whole.first, atol=1e-10)
    assert whole.first[:, 0].sum() == partial(connection, "whole", 0.4, PLAN).rows


def test_the_bootstrap_agrees_with_the_formula_on_a_million_rows(connection):
    """IPS, SNIPS, DR and SNDR: width within 10 % of the closed form."""
    rows = scored(1_000_000, seed=4) | {"unit_bucket": np.arange(1_000_000) % 1024}
    connection.register("rows", pa.table(rows))
    plan = Plan((), False, False)
    sums, buckets = partial(connection, "rows", 0.4, plan), bucket_sums(connection, "rows", 0.4, plan)
    sampled = resampled(buckets)

    for one in estimators(LIMITS):
        if one.name in ("ips", "snips", "dr", "sndr"):
            fit = one.fit(sums)
            low, high = bootstrap(fit, buckets, sampled)
            assert high - low == pytest.approx(2 * 1.96 * standard_error(sums, fit), rel=0.1), one.name


def test_what_does_not_belong_together_is_refused(connection):
    """Other terms, other constants, no cluster to speak of."""
    connection.register("rows", pa.table(of_users(100, seed=5)))
    sums, buckets = partial(connection, "rows", 0.4, PLAN), bucket_sums(connection, "rows", 0.4, PLAN)

    with pytest.raises(BadSums, match="different terms"):
        clustered(sums, bucket_sums(connection, "rows", 0.4, Plan(())))
    with pytest.raises(BadSums, match="one constant"):
        combine_buckets([buckets, bucket_sums(connection, "rows", 0.5, PLAN)])
    with pytest.raises(BadSums, match="one constant"):
        combine_buckets([])
    with pytest.raises(BadSums, match="different constants"):
        bootstrap(snips_of(partial(connection, "rows", 0.7, PLAN)), buckets, resampled(buckets, 10))


def test_one_cluster_has_no_error(connection):
    """All rows of one user: nothing can be said."""
    connection.register("rows", pa.table(scored(100, seed=6) | {"unit_bucket": np.zeros(100, np.int16)}))
    sums = partial(connection, "rows", 0.4, PLAN)

    error = standard_error(clustered(sums, bucket_sums(connection, "rows", 0.4, PLAN)), snips_of(sums))

    assert not np.isfinite(error)
