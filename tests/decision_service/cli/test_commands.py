"""The command line: quick to answer, one line for what is refused, a doctor that finds what is missing."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from decision_service.cli import examinations
from decision_service.cli.main import _add
from decision_service.cli.store import FEATURE_STORE, start_store
from tests.commands import sidearm

SIDEARM = Path(sys.executable).with_name("sidearm")  # as it is installed
SHOP = Path(__file__).parents[3] / "examples" / "shop"


def test_the_help_lists_every_command():
    """Each with what it does."""
    done = subprocess.run([SIDEARM, "--help"], capture_output=True, text=True, check=True)
    for command in ("doctor", "evaluate", "import", "keys", "replay", "show", "status", "up"):
        assert f"\n  {command} " in done.stdout


def test_the_help_imports_nothing_heavy():
    """Half a second of imports would be felt at every call: commands import when they run."""
    heavy = {
        "duckdb",
        "polars",
        "pyarrow",
        "numpy",
        "redis",
        "fastapi",
        "vowpal_wabbit_next",
        "rich",
        "uvicorn",
    }
    program = (
        "import sys\nfrom decision_service.cli.main import root\n"
        "try:\n    root()(['--help'])\nexcept SystemExit:\n    pass\n"
        f"print('heavy:', sorted({heavy!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "heavy: []" in done.stdout, done.stdout + done.stderr


def test_a_command_whose_package_is_not_installed_says_so():
    """An image holds one process and its extra: the other commands are listed, and say what they need."""
    from importlib.metadata import EntryPoint

    import typer
    from typer.testing import CliRunner

    app = typer.Typer()
    _add(app, EntryPoint("gone", "no_such_package.cli:command", "sidearm.commands"))
    app.command("here")(lambda: None)
    result = CliRunner().invoke(app, ["gone"])
    assert result.exit_code == 2
    assert "no_such_package" in result.output


@pytest.mark.parametrize("command", ["up", "status"])
def test_a_folder_without_an_application_is_one_line_and_exit_code_2(command, tmp_path):
    """No traceback for a mistyped path."""
    done = subprocess.run([SIDEARM, command, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "no app.toml" in done.stderr


def test_status_without_a_store_says_what_to_start(data_folder):
    """Rather than a traceback of the client library."""
    done = sidearm("status", SHOP, "--data", data_folder.root)
    assert done.returncode == 2
    assert "is `sidearm up` running?" in done.stderr
    assert done.stderr.count("\n") == 1


def test_status_of_an_empty_store_balances(data_folder):
    """Nothing waits, nothing was learned, nothing is missing."""
    with start_store(data_folder):
        done = sidearm("status", SHOP, "--data", data_folder.root)
    assert done.returncode == 0, done.stderr
    assert "shop: pending 0 · no learner has run yet · books balance" in done.stdout


def test_status_says_that_the_feature_store_is_away(data_folder):
    """Decisions go on without features, and somebody should know."""
    with start_store(data_folder):
        without = sidearm("status", SHOP, "--data", data_folder.root)
        with start_store(data_folder, FEATURE_STORE):
            well = sidearm("status", SHOP, "--data", data_folder.root)
    assert "no feature store answers at unix://" in without.stdout
    assert "docs/operations.md#the-feature-store-is-away" in without.stdout
    assert "no feature store answers" not in well.stdout


def test_status_reports_books_that_do_not_balance(data_folder):
    """A decision counted in and nowhere to be found is exit code 1."""
    from sidecar.contracts.keys import Keys
    from sidecar.contracts.store import connect

    with start_store(data_folder) as server, connect(server.url) as client:
        client.hset(Keys("shop", 0).counters, "dec", 1)
        done = sidearm("status", SHOP, "--data", data_folder.root)
    assert done.returncode == 1
    assert "BOOKS: decisions 1" in done.stdout


def test_up_refuses_a_port_that_somebody_else_has(data_folder):
    """Before it starts anything."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = sidearm("up", SHOP, "--data", data_folder.root, "--port", port)
    assert done.returncode == 2
    assert f"port {port} is taken" in done.stderr
    assert not (data_folder.run / "store.lock").exists()


def test_the_doctor_finds_this_machine_fit(data_folder):
    """What the tests need is there, so nothing is missing."""
    done = sidearm("doctor", "--data", data_folder.root, "--port", _free_port(), COLUMNS="200")
    assert done.returncode == 0, done.stdout
    for subject in ("Python", "vowpal_wabbit_next", "store", "data folder", "durable write", "clock"):
        assert subject in done.stdout
    assert not list(data_folder.root.iterdir()), "it leaves nothing behind"


def test_the_doctor_fails_when_something_needed_is_missing(data_folder):
    """A store that does not answer: exit code 1, and what to do."""
    gone = f"unix://{data_folder.root}/gone.sock"
    done = sidearm("doctor", "--data", data_folder.root, REDIS_URL=gone, COLUMNS="250")
    assert done.returncode == 1
    assert "start it, or unset REDIS_URL" in done.stdout


def test_the_doctor_looks_at_the_feature_store_where_there_is_one(data_folder, store_server):
    """By its own name, or in the data folder; else nothing is said."""
    assert examinations.feature_store(data_folder, {"REDIS_URL": "redis://nowhere"}) == []
    for url, state, said in (
        (store_server.url, "fine", "version"),
        (f"unix://{data_folder.root}/gone.sock", "missing", "does not answer"),
        ("gone", "missing", "no address"),
    ):
        (found,) = examinations.feature_store(data_folder, {"FEATURE_STORE_URL": url})
        assert (found.state, said in found.found) == (state, True), found
    with start_store(data_folder, FEATURE_STORE) as server:
        (found,) = examinations.feature_store(data_folder, {})
        assert (found.state, f"pid {server.pid}" in found.found) == ("fine", True)


def test_the_doctor_says_what_is_no_address(data_folder):
    """And goes on with the rest."""
    done = sidearm("doctor", "--data", data_folder.root, REDIS_URL="store", COLUMNS="250")
    assert done.returncode == 1
    assert "REDIS_URL: 'store' is no address of a store" in done.stdout
    assert "clock" in done.stdout


@pytest.mark.parametrize(
    ("version", "state"),
    [((3, 10, 9), "missing"), ((3, 11, 0), "fine"), ((3, 12, 9), "fine"), ((3, 13, 0), "missing")],
)
def test_only_python_3_11_and_3_12_will_do(version, state):
    """The trainer has no wheels beyond."""
    assert examinations.python(version).state == state


@pytest.mark.parametrize(
    ("libc", "state"), [(("glibc", "2.36"), "fine"), (("glibc", "2.17"), "missing"), (("", ""), "missing")]
)
def test_the_c_library_must_fit_the_wheels(libc, state):
    """Too old a glibc, or another C library."""
    assert examinations.libc(libc).state == state


def test_a_package_that_is_gone_or_broken_is_missing(tmp_path, monkeypatch):
    """A crash of its import does not take the doctor along."""
    assert examinations.package("no_such_package", "x").state == "missing"
    (tmp_path / "broken_package.py").write_text("import os\nos.abort()\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert examinations.package("broken_package", "x").state == "missing"


def test_a_clock_before_the_installation_is_wrong():
    """Dates of the log come from it."""
    assert examinations.clock(now_s=0.0).state == "missing"


def test_a_store_that_may_forget_is_poor(store_server, store, data_folder):
    """REDIS_URL may name a server that evicts, or keeps nothing on disk."""
    environ = {"REDIS_URL": store_server.url}
    assert examinations.store(data_folder, environ).state == "fine"
    store.config_set("maxmemory-policy", "allkeys-lru")
    try:
        assert examinations.store(data_folder, environ).state == "poor"
    finally:
        store.config_set("maxmemory-policy", "noeviction")


def test_a_data_folder_too_deep_or_not_ours_is_missing(data_folder):
    """Its sockets would not fit, or nothing could be written."""
    from sidecar.contracts.layout import DataFolder

    assert examinations.writable(DataFolder(data_folder.root / ("d" * 120))).state == "missing"
    assert examinations.durable_write(DataFolder(Path("/proc/self"))).state == "missing"


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
