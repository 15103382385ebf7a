"""``sidearm features``: what it says, and how it ends."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import polars as pl
import pytest

from decision_service.cli.store import FEATURE_STORE, start_store
from sidecar.contracts.store import connect
from tests.commands import sidearm


def features(*arguments: object, url: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
    """The command, for the shop; ``url``: of the store."""
    return sidearm("features", *arguments, SIDEARM_APP="examples/shop", **{"REDIS_URL": url, **environ})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    frame = pl.DataFrame({"country": ["de", "at"], "id": [1, 2], "segment": ["new", "old"]})
    frame.write_parquet(tmp_path / "c.parquet")
    return tmp_path / "c.parquet"


def test_load_and_show(store_url, file):
    """Loading says what it did; showing tells the table, and rows as JSON."""
    done = features("load", file, "--table", "customers", "--key", "id", "--ttl", 60, url=store_url)
    assert done.returncode == 0, done.stderr
    assert "2 rows by id, in 1 slot: country String, id Int64, segment String" in done.stdout
    assert "2 rows written" in done.stdout
    again = features("load", file, "--table", "customers", "--key", "id", url=store_url)
    assert "nothing to write" in again.stdout

    table = features("show", "--table", "customers", url=store_url)
    assert table.returncode == 0, table.stderr
    assert "rows        2" in table.stdout
    assert "never" in table.stdout
    row = features("show", "--table", "customers", 2, url=store_url)
    assert json.loads(row.stdout) == {"country": "at", "id": 2, "segment": "old"}
    missing = features("show", "--table", "customers", 1, 3, url=store_url)
    assert missing.returncode == 1
    assert missing.stdout.splitlines()[1] == "null"


def test_a_key_of_two_columns(store_url, file):
    """Its values one after another."""
    assert not features(
        "load", file, "--table", "t", "--key", "country", "--key", "id", url=store_url
    ).returncode
    assert json.loads(features("show", "--table", "t", "de", 1, url=store_url).stdout)["segment"] == "new"
    wrong = features("show", "--table", "t", "de", url=store_url)
    assert (wrong.returncode, wrong.stderr) == (2, "sidearm: a key of 't' is 2 values: country, id\n")


def test_they_go_where_the_feature_store_is(store, store_url, file, data_folder):
    """By name, or into the data folder; what the store has of an earlier day is told of."""
    words, at = ("load", file, "--table", "t", "--key", "id"), {"SIDEARM_DATA": str(data_folder.root)}
    with start_store(data_folder, FEATURE_STORE) as server, connect(server.url) as client:
        named = {**at, "REDIS_URL": store_url, "FEATURE_STORE_URL": server.url}
        assert "written" in features(*words, **named).stdout
        assert (client.dbsize(), store.dbsize()) == (2, 0)
        assert "nothing to write" in (done := features(*words, **at)).stdout
        assert "that name too" not in done.stdout

        assert "written" in features(*words, url=store_url).stdout
        assert "read there by who opens `around.store_url`" in features(*words, **named).stdout
        client.flushall()
        missing = features("show", "--table", "t", **named)
        assert "the feature store has no table 't' of 'shop'" in missing.stderr
        assert "docs/operations.md#a-feature-store-of-its-own" in missing.stderr


def test_a_dry_run_needs_no_store_and_writes_nothing(store, store_url, file):
    """It reads and checks."""
    done = features("load", file, "--table", "customers", "--key", "id", "--dry-run", url="unix:///nowhere")
    assert done.returncode == 0, done.stderr
    assert "nothing was written" in done.stdout
    assert not list(store.scan_iter())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["load", "FILE", "--table", "t", "--key", "ids"], "has no column 'ids'; nearest: 'id'"),
        (["load", "FILE", "--table", "t-1", "--key", "id"], "'t-1' is no name of a table"),
        (["load", "absent.parquet", "--table", "t", "--key", "id"], "absent.parquet: No such file"),
        (["load", "FILE", "--table", "t", "--key", "id", "--slots", "99999"], "legal: 1 to 16384"),
        (["show", "--table", "t", "a"], "no table 't' of 'shop'"),
        (["show", "--table", "t", "--app", "nowhere"], "nowhere"),
    ],
)
def test_what_is_wrong_is_one_line(store_url, file, arguments, said):
    """And exit code 2."""
    done = features(*(str(file) if each == "FILE" else each for each in arguments), url=store_url)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr


def test_a_store_that_is_away_is_one_line_without_its_password(file):
    """And exit code 2."""
    url = "redis://me:secret@127.0.0.1:1/0"
    done = features("load", file, "--table", "t", "--key", "id", url=url)
    assert done.returncode == 2
    assert "is it running?" in done.stderr
    assert "secret" not in done.stderr
