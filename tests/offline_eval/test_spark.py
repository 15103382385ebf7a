"""The same evaluation on Spark, local and by Spark Connect: every number equal to DuckDB's to 1e-9.

One Java machine for the whole module, which is most of its time; it also is the Spark Connect server. Where
CI is set Spark and Java must be there (``make test-all`` installs the one); on a laptop without them this
skips.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from offline_eval.errors import BadSums
from offline_eval.estimators import estimators, plan_of
from offline_eval.evaluate import Options, evaluate
from offline_eval.target_policy import Logged, Table, Uniform
from tests.offline_eval.logs import ARMS, DEVICES, row, simulated_rows, write_log
from tests.offline_eval.scored import LIMITS, scan, scored, values
from tests.offline_eval.test_sums import BAD

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),  # Ibis', pyspark's
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning"),
]
PLAN = plan_of(estimators(LIMITS), heaviest=50)
BEST = Table("best", {device: {ARMS[i]: 1.0} for i, device in enumerate(DEVICES)}, "context.device")


def needed(name: str):
    """A module that CI must have."""
    return importlib.import_module(name) if os.environ.get("CI") else pytest.importorskip(name)


@pytest.fixture(scope="module")
def ibis():
    return needed("ibis")


@pytest.fixture(scope="module")
def remote(ibis, tmp_path_factory):
    """This process's Spark session, which also serves Spark Connect: its address."""
    if not shutil.which("java") and not os.environ.get("CI"):
        pytest.skip("no Java")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {
        "spark.driver.bindAddress": "127.0.0.1", "spark.driver.host": "127.0.0.1",
        "spark.ui.enabled": "false", "spark.sql.shuffle.partitions": "2", "spark.log.level": "ERROR",
        "spark.plugins": "org.apache.spark.sql.connect.SparkConnectPlugin",
        "spark.connect.grpc.binding.address": "127.0.0.1", "spark.connect.grpc.binding.port": str(port),
        "spark.sql.warehouse.dir": str(tmp_path_factory.mktemp("warehouse")),
    }  # fmt: skip
    builder = needed("pyspark.sql").SparkSession.builder.master("local[2]")
    for name, value in settings.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    yield f"sc://127.0.0.1:{port}"
    session.stop()


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    """With thinned rows, a repeated one and several that are wrong, in files of two days."""
    rows = [
        one | {"inclusion_probability": 0.5 if i % 7 == 0 else 1.0}
        for i, one in enumerate(simulated_rows(1_500, seed=61))
    ]
    wrong = [row(2_000, propensity=float("nan")), row(2_001, propensity=0.0), rows[5]]
    return write_log(tmp_path_factory.mktemp("log"), rows + wrong, files=2)


def same(found: object, expected: object, where: str = "") -> None:
    """Everything that two evaluations say but the text of their scans."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key in expected.keys() - {"scan"}:
            same(found[key], expected[key], f"{where}.{key}")
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected), where
        for place, (one, other) in enumerate(zip(found, expected, strict=True)):
            same(one, other, f"{where}[{place}]")
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-12), where
    else:
        assert found == expected, where


def sidearm(*arguments: object, **environment: str) -> subprocess.CompletedProcess:
    command = [str(Path(sys.executable).with_name("sidearm")), "evaluate", *map(str, arguments)]
    kept = {"PATH": os.environ["PATH"]} | environment
    return subprocess.run(command, capture_output=True, text=True, check=False, env=kept)


def of_rows(ibis, columns):
    """The sums by Ibis of columns in memory, on its DuckDB."""
    from offline_eval.ibis_scan import partial_ibis

    return partial_ibis(ibis.memtable(pa.table(columns)), 0.3, PLAN)


def test_the_expression_has_the_sums_of_the_sql(ibis):
    """On one engine, so that any difference is of the expression: estimates, errors and every count."""
    rows = scored(2_000, seed=61, inclusion_probability=np.where(np.arange(2_000) % 3, 1.0, 0.5))
    rows["q"] = np.where(np.arange(2_000) % 100 == 7, np.nan, rows["q"])

    found, expected = of_rows(ibis, rows), scan(rows)

    same({name: list(pair) for name, pair in values(found).items()}, {
        name: list(pair) for name, pair in values(expected).items()
    })  # fmt: skip
    for name in ("rows", "max_weight", "max_mass", "overlapping", "without_model", "support", "support_known",
                 "propensities", "shrunk_weight"):  # fmt: skip
        assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=1e-12), name
    w = np.sort(rows["e"] / rows["propensity"])[::-1]
    np.testing.assert_allclose(found.heaviest, w[:50], rtol=1e-12)


@pytest.mark.parametrize(("column", "value", "reason"), BAD)
def test_a_bad_row_has_the_reason_that_it_has_in_sql(ibis, column, value, reason):
    """Rule by rule."""
    rows = {name: [*array.tolist(), array[0]] for name, array in scored(50, seed=7).items()}
    rows[column][-1] = value

    found = of_rows(ibis, rows)

    assert (found.rows, found.rejected) == (50, {reason: 1})


def test_a_table_that_is_not_scored_is_refused(ibis):
    with pytest.raises(BadSums, match="'e' is missing"):
        of_rows(ibis, {"reward": [1.0], "propensity": [0.5]})


def test_the_session_that_is_there_is_used_and_left_running(remote, log, tmp_path):
    """Candidates, groups, pairs, checks and verdicts, by context, against one of them."""
    asked = {"by": ("context.device",), "against": "uniform", "batch_rows": 700}

    plain = evaluate(log, [BEST, Uniform(), Logged()], options=Options(**asked))
    found = evaluate(
        log, [BEST, Uniform(), Logged()],
        options=Options(**asked, engine="spark", spark_folder=str(tmp_path)),
    )  # fmt: skip

    same(msgspec.to_builtins(found), msgspec.to_builtins(plain))
    assert found.scan.startswith("SELECT")
    assert plain.log.left_out == {"propensity_not_a_number": 1, "propensity_zero": 1, "repeated": 1}
    assert not list(tmp_path.iterdir())
    assert needed("pyspark.sql").SparkSession.getActiveSession() is not None


def test_by_spark_connect_from_the_command_line(remote, log, tmp_path):
    """As with a cluster: another process, an address, a folder that both see."""
    common = ("--log", log, "--candidate", "uniform", "--json")

    plain = sidearm(*common, tmp_path / "duckdb.json")
    found = sidearm(
        *common, tmp_path / "spark.json", "--engine", "spark", "--spark-remote", remote,
        "--spark-folder", tmp_path,
    )  # fmt: skip

    assert (plain.returncode, found.returncode) == (0, 0), found.stderr
    one, other = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("spark", "duckdb"))
    same(one, other)
    assert one["fingerprint"] == other["fingerprint"]


def test_an_empty_log_has_no_number_there_either(remote, tmp_path):
    """Nothing is written, so nothing is read."""
    found = evaluate(write_log(tmp_path, []), [Uniform()], options=Options(engine="spark"))

    assert found.candidates[0].verdict.startswith("red: no number")


def test_without_java_it_is_said(ibis, log):
    """One line, before anything is scored."""
    done = sidearm("--log", log, "--engine", "spark", PATH="/nowhere")

    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "Spark needs Java 17 or later" in done.stderr
