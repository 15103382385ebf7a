"""``sidearm evaluate``: what it prints and writes, and one line with exit code 2 for bad input."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import entry_points

import pytest
import typer
from typer.testing import CliRunner

from offline_eval.cli import evaluate_command
from sidecar.contracts import keys
from sidecar.contracts.weights import encode_weights
from tests.offline_eval.logs import simulated_rows, weights, write_log

app = typer.Typer()
app.command()(evaluate_command)


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    """A small log."""
    return write_log(tmp_path_factory.mktemp("cli"), simulated_rows(300, seed=1))


@pytest.fixture
def weights_file(tmp_path):
    """A weights record in a file."""
    path = tmp_path / "weights.bin"
    path.write_bytes(encode_weights(weights({3: 1.0})))
    return path


def run(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_candidates_are_evaluated_and_files_written(log, weights_file, tmp_path):
    """All candidates side by side, with JSON, page and plot."""
    files = {option: tmp_path / f"out.{option}" for option in ("json", "html", "png")}
    table = tmp_path / "always-red.json"
    table.write_text('{"probabilities": {"": {"red": 1.0}}}')
    names = ["uniform", "logged", "greedy", "epsilon:0.1", f"table:{table}"]

    result = run(
        "--log", log, "--weights", weights_file, "--key", "context.device", "--clip", "5",
        *(part for name in names for part in ("--candidate", name)),
        *(part for option, path in files.items() for part in (f"--{option}", path)),
    )  # fmt: skip

    assert result.exit_code == 0, result.output
    assert [one["candidate"] for one in json.loads(files["json"].read_text())["candidates"]] == [
        "uniform", "logged", "greedy", "epsilon:0.1", "always-red",
    ]  # fmt: skip
    assert all(path.stat().st_size > 1_000 for path in files.values())
    assert "cips_5" in result.output


def test_weights_come_from_the_store(log, store, store_url):
    """What the application serves now, by its name: that of the log's folder."""
    store.hset(keys.weights("test"), "record", encode_weights(weights()))

    result = run("--log", log, "--candidate", "greedy", "--weights", store_url)

    assert result.exit_code == 0, result.output


def test_no_weights_in_the_store_is_said(log, store_url):
    """An application that never published."""
    result = run("--log", log, "--candidate", "greedy", "--weights", store_url)

    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "application 'test' has published no weights" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--candidate", "best"], "legal: uniform, logged, greedy, epsilon:<0..1>, softmax:<temperature>"),
        (["--candidate", "epsilon:much"], "a number is needed"),
        (["--candidate", "greedy"], "need --weights"),
        (["--candidate", "greedy", "--weights", "/nowhere"], "cannot be read"),
        (["--candidate", "greedy", "--weights", __file__], "weights record"),
        (["--candidate", "greedy", "--weights", "unix:///nowhere.sock"], "the store does not answer"),
        (["--candidate", "table:/nowhere"], "cannot be read"),
        (["--candidate", f"table:{__file__}"], "Expected `object`"),
        (["--candidate", "uniform", "--candidate", "uniform"], "named twice"),
        (["--against", "nobody"], "legal: logged, uniform"),
        (["--since", "yesterday"], "ISO 8601"),
        (["--clip", "0"], "above 0"),
        (["--clip", "nan"], "above 0"),
        (["--key", "colour"], "legal are slot"),
        (["--log", "/nowhere"], "name a log folder"),
        (["--json", "/nowhere/x.json"], "cannot be written"),
        (["--engine", "abacus"], "legal: duckdb, spark"),
        (["--spark-remote", "sc://cluster:15002"], "need --engine spark"),
        (["--engine", "spark", "--spark-remote", "cluster"], "legal: sc://host:port"),
        (["--engine", "spark", "--spark-remote", "sc://127.0.0.1:1"], "no Spark Connect server answers"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(log, arguments, message):
    """Names what was wrong and what is legal; no traceback."""
    result = run("--log", log, *arguments)

    assert result.exit_code == 2, result.output
    assert result.stderr.count("\n") == 1
    assert message in result.stderr


def test_without_spark_it_is_said_how_to_install_it(log, monkeypatch):
    """The extra by its name."""
    monkeypatch.setitem(sys.modules, "ibis", None)

    result = run("--log", log, "--engine", "spark")

    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "Spark is not installed" in result.stderr
    assert "pip install 'sidearm[eval,spark]'" in result.stderr


def test_the_command_is_registered():
    """The root command line finds it through its entry point."""
    (found,) = (one for one in entry_points(group="sidearm.commands") if one.name == "evaluate")

    assert found.value == "offline_eval.cli:evaluate_command"


def test_importing_the_command_is_cheap():
    """`sidearm --help` must not wait for DuckDB and Altair."""
    heavy = "{'duckdb', 'polars', 'altair', 'pyarrow', 'numpy'} & set(sys.modules)"
    code = f"import sys, offline_eval.cli; print({heavy})"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "set()"
