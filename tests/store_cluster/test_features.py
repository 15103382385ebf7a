"""Tables of features on a cluster: loaded by the command, read by services, over a slot that moves."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from decision_service.sources.store import open_feature_store
from sidecar.contracts.keys import FeatureKeys
from tests.commands import sidearm
from tests.processes import Processes, short_folder
from tests.store_cluster.servers import StoreCluster, store_cluster

pytestmark = pytest.mark.slow
ROWS, SLOTS = 5000, 7
TABLE = ("--table", "customers")


@pytest.fixture(scope="module")
def cluster() -> Iterator[StoreCluster]:
    folder = short_folder()
    processes = Processes(folder)
    with store_cluster(processes, folder, wait_ms=2000) as cluster:
        yield cluster
        stubborn = processes.stop_all()
    shutil.rmtree(folder, ignore_errors=True)
    assert not stubborn


def command(cluster: StoreCluster, *words: object) -> subprocess.CompletedProcess[str]:
    return sidearm("features", *words, SIDEARM_APP="examples/shop", REDIS_URL=cluster.url)


def features(cluster: StoreCluster, *words: object) -> str:
    done = command(cluster, *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def table(folder: Path, segment: str) -> Path:
    file = folder / f"{segment}.parquet"
    pl.DataFrame({"id": range(ROWS), "segment": [segment] * ROWS}).write_parquet(file)
    return file


async def test_a_table_over_several_slots_is_loaded_replaced_and_read(
    cluster: StoreCluster, tmp_path: Path
) -> None:
    """The command writes it, services read it, another file takes its place; while a slot moves it waits."""
    load = ("--key", "id", "--slots", SLOTS)
    said = features(cluster, "load", table(tmp_path, "new"), *TABLE, *load)
    assert f"in {SLOTS} slots" in said
    assert f"{ROWS:,} rows written" in said
    assert "nothing to write" in features(cluster, "load", table(tmp_path, "new"), *TABLE, *load)
    async with open_feature_store(cluster.url, "shop") as store:
        customers = store.table("customers", dict)
        assert (await customers.get(4711))["segment"] == "new"
        with cluster.migrating(FeatureKeys("shop", "customers").record):
            refused = command(cluster, "load", table(tmp_path, "old"), *TABLE, *load)
            assert refused.returncode == 2
            assert "is being moved" in refused.stderr
            assert (await customers.get(4711))["segment"] == "new"
        assert f"{ROWS:,} rows" in features(cluster, "load", table(tmp_path, "old"), *TABLE, *load)
        found = await customers.many(range(0, ROWS, 50))
    assert {row["segment"] for row in found.values()} == {"old"}
    assert len(found) == ROWS // 50
    assert json.loads(features(cluster, "show", *TABLE, 7).splitlines()[-1]) == {"id": 7, "segment": "old"}


async def test_a_table_expires_with_its_rows(cluster: StoreCluster, tmp_path: Path) -> None:
    """The rows a little after the record, on whichever nodes they lie; a longer life is all of theirs."""
    load = ("--key", "id", "--slots", SLOTS)
    features(cluster, "load", table(tmp_path, "brief"), *TABLE, *load, "--ttl", 600)
    before = lives(cluster)
    features(cluster, "load", table(tmp_path, "brief"), *TABLE, *load, "--ttl", 6000)
    after = lives(cluster)
    assert len(before) == len(after) == SLOTS
    assert all(600 < life < 1000 for life in before.values())
    assert all(6000 < life < 7000 for life in after.values())


def lives(cluster: StoreCluster) -> dict[bytes, int]:
    """Seconds of each part of the table that is read now."""
    found = {}
    for server in cluster.primaries():
        for name in server.client.scan_iter(match="{shop.f.customers.*}:rows:*"):
            if (life := server.client.ttl(name)) > 300:
                found[name] = life
    return found
