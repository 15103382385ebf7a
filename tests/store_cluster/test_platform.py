"""The platform on a cluster: a slot migrates, primaries die, and nothing is lost or doubled."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import httpx
import pytest
import redis

from sidecar.contracts.books import books, counters_of
from sidecar.contracts.keys import Keys, weights
from sidecar.contracts.layout import DataFolder
from sidecar.contracts.store import connect
from tests.e2e.callers import Caller, callers_at, free_port, progress
from tests.e2e.ledger import check_decisions, check_replay, check_rewards, check_training, logged, spooled
from tests.e2e.platform import Platform, write_application
from tests.processes import Processes, short_folder
from tests.store_cluster.servers import StoreCluster, store_cluster
from tests.waiting import until

PARTITIONS = 4
CALLERS = 6
BETWEEN = 100


@pytest.mark.slow
def test_a_migration_and_a_failover_under_load_lose_and_double_nothing(
    tmp_path: Path, data_folder: DataFolder, processes: Processes
) -> None:
    """Books balance; every decision has one row and one training effect, every reward one place."""
    application = write_application(tmp_path / "app", horizon_s=2.0, partitions=PARTITIONS)
    second = short_folder()
    with store_cluster(processes, short_folder()) as cluster:
        first, other = platforms = two_replicas(processes, application, data_folder, second, cluster)
        for platform, names in ((first, ("sidecar", "service", "learner")), (other, ("sidecar", "service"))):
            for name in names:
                platform.start(name)
            platform.wait_until_ready()
        callers = load_while_breaking(cluster, platforms)
        folders = data_folder, DataFolder(second)
        until(
            lambda: not any(map(spooled, folders)), 60.0, "all that was written down beside is in the store"
        )
        any_replica_answers_any_session(platforms, callers)
        keys = [Keys("kill", p) for p in range(PARTITIONS)]
        with connect(cluster.url) as client:
            until(lambda: all_finalised(client, keys), 60.0, "all finalised", poll_s=0.1)
            for name in ("service", "sidecar"):
                assert [platform.stop(name) for platform in platforms] == [0, 0]
            assert first.stop("learner") == 0, first.output("learner")
            check(client, keys, callers, data_folder)
        check_replay(first, {"REDIS_URL": cluster.url})
    shutil.rmtree(second)


def two_replicas(
    processes: Processes, application: Path, data: DataFolder, second: Path, cluster: StoreCluster
) -> tuple[Platform, Platform]:
    """Services with a folder each, and the secrets that replicas share."""
    environ = {"REDIS_URL": cluster.url, "SIDEARM_DECISION_SERVICE_DRAW_SECRET": "ab" * 32}
    first = Platform(processes, application, data, free_port(), environ)
    other = Platform(processes, application, DataFolder(second), free_port(), environ)
    other.key = first.key
    shutil.copy(data.keys, second)
    return first, other


def load_while_breaking(cluster: StoreCluster, platforms: Sequence[Platform]) -> list[Caller]:
    """Callers that are done, after a slot moved, and the primaries of two keys died and came back."""
    with callers_at([*platforms] * (CALLERS // 2)) as callers:
        progress(callers, BETWEEN)
        with cluster.migrating(Keys("kill", 0).counters):
            progress(callers, BETWEEN)
        progress(callers, BETWEEN)
        for key in (Keys("kill", 1).counters, weights("kill")):
            dead = cluster.fail_over(key)
            progress(callers, BETWEEN)
            dead.start()
            until(cluster.is_well, 60.0, "the cluster is well again", poll_s=0.1)
            progress(callers, BETWEEN)
    return callers


def any_replica_answers_any_session(platforms: Sequence[Platform], callers: Sequence[Caller]) -> None:
    """Whoever decided: the other knows the decision."""
    for caller in callers:
        decision_id, arm = list(caller.decided.items())[-1]
        for platform in platforms:
            told = httpx.get(
                f"{platform.url}/v1/decisions/{decision_id}",
                headers={"Authorization": f"Bearer {platform.key}"},
                timeout=10.0,
            )
            assert (told.status_code, told.json()["arm"]) == (200, arm)


def all_finalised(client: redis.Redis, keys: Sequence[Keys]) -> bool:
    """Nothing waits any more, as far as the store says."""
    try:
        return not any(client.zcard(k.due) + client.zcard(k.orphans) for k in keys)
    except redis.RedisError:
        return False


def check(client: redis.Redis, keys: Sequence[Keys], callers: list[Caller], data: DataFolder) -> None:
    """Every promise."""
    counted = [counters_of(client.hgetall(k.counters)) for k in keys]
    assert all(books(c, pending=0, awaited=0, open_rewards=0).balanced for c in counted), counted
    rows, late = logged(data)
    check_decisions(callers, rows, counted)
    check_rewards(callers, rows, late)
    check_training(client, rows)
