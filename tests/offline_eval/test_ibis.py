"""The scan by Ibis, on DuckDB and on Spark: the same estimates, errors and differences to 1e-9."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from offline_eval.errors import BadSums
from offline_eval.estimators import estimators, plan_of
from offline_eval.ibis_scan import partial_ibis
from tests.offline_eval.scored import LIMITS, scan, scored, values

ibis = pytest.importorskip("ibis")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")  # Ibis' own
PLAN = plan_of(estimators(LIMITS))


@pytest.fixture
def file(tmp_path):
    rows = scored(2_000, seed=61)
    rows["propensity"] = np.where(np.arange(2_000) % 400 == 7, np.nan, rows["propensity"])
    pq.write_table(pa.table(rows), tmp_path / "scored.parquet")
    return tmp_path / "scored.parquet"


@pytest.fixture
def expected(file):
    rows = pq.read_table(file)
    return values(scan({name: rows[name].to_numpy() for name in rows.column_names}))


def same(found, expected) -> None:
    assert list(found) == list(expected)
    np.testing.assert_allclose(list(found.values()), list(expected.values()), rtol=1e-9)


def test_on_duckdb(file, expected):
    sums = partial_ibis(ibis.duckdb.connect().read_parquet(file), 0.3, PLAN)

    same(values(sums), expected)
    assert sums.rejected == {"left_out": 5}


@pytest.mark.slow
def test_on_spark(file, expected):
    """Local Spark, two threads."""
    spark = pytest.importorskip("pyspark.sql").SparkSession.builder.master("local[2]").getOrCreate()
    try:
        sums = partial_ibis(ibis.pyspark.connect(spark).read_parquet(str(file)), 0.3, PLAN)
    finally:
        spark.stop()

    same(values(sums), expected)


def test_a_table_that_is_not_scored_is_refused():
    with pytest.raises(BadSums, match="'e' is missing"):
        partial_ibis(ibis.memtable(pa.table({"reward": [1.0], "propensity": [0.5]})), 0.0)
