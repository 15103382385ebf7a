"""The rendered manifests run as processes: rolled under load, their containers killed, nothing lost."""

from __future__ import annotations

import http.client
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from sidecar.contracts.keys import Keys
from sidecar.contracts.layout import DataFolder
from tests.k8s.kubectl import need_kubectl
from tests.k8s.rehearsal.cluster import Cluster
from tests.k8s.rehearsal.ledger import all_finalised, check_books, check_decisions, check_rewards, rows_of
from tests.k8s.rehearsal.machine import can_lock, locked
from tests.k8s.rehearsal.pods import Pod
from tests.k8s.rehearsal.rendering import APP, PARTITIONS, rendered, secret
from tests.k8s.rehearsal.traffic import Traffic
from tests.processes import ROOT, Processes, short_folder
from tests.waiting import until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        sys.platform != "linux", reason="a pod has an address of its own on the loopback: Linux"
    ),
]
CALLERS = 4
SERVICE, LEARNER, ARCHIVER, STORE = "decision-service", "policy-learner", "archiver", "store"


@pytest.fixture
def folder() -> Iterator[Path]:
    folder = short_folder()
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def test_the_manifests_lose_nothing(folder: Path, processes: Processes) -> None:
    """A roll-out without one failed request; then every container is killed, a pod replaced; books 0."""
    need_kubectl()
    command = [sys.executable, "-m", "decision_service.cli.main", "keys", str(folder / "secrets")]
    key = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout.strip()
    cluster = Cluster(folder, processes)
    cluster.apply([secret(folder / "secrets"), *rendered(folder / "overlay", [1.0, 2.0, 3.0])])
    with Traffic(cluster.endpoints[SERVICE], key, CALLERS) as traffic:
        cluster.while_leaving = traffic.latecomers
        traffic.go_on(100)
        cluster.apply(rendered(folder / "overlay", [1.0, 2.5, 3.0]))
        traffic.go_on(100)
        assert traffic.failures == []
        lose_containers(cluster, traffic)
        traffic.go_on(100)
    any_pod_answers_any_session(cluster, traffic, key)
    check(cluster, traffic, folder)


def test_a_container_cannot_write_to_its_image(folder: Path) -> None:
    """But to its volumes, which is all that the rehearsal's containers may."""
    if not can_lock():
        pytest.skip("this machine lets us have no mounts of our own: writes are looked for instead")
    for place, code in ((folder / "volume", 0), (Path(__file__).with_name("written"), 1)):
        done = subprocess.run(locked(["touch", str(place)], folder), capture_output=True, text=True)
        assert done.returncode == code, done.stderr
    assert "Read-only file system" in done.stderr


def lose_containers(cluster: Cluster, traffic: Traffic) -> None:
    """Each in turn under load; one of the service dies while the store is away and its spool is not empty."""
    one, other = cluster.pods[SERVICE]
    other.container("sidecar").running.kill()
    traffic.go_on(50)
    other.heal()
    (store,) = cluster.pods[STORE]
    store.container("store").running.kill()
    traffic.go_on(50)
    spool = one.volumes["data"] / "spool"
    assert any(file.stat().st_size for file in spool.rglob("*") if file.is_file()), "it spools"
    one.container("service").running.kill()
    traffic.go_on(20)
    one.heal()
    store.heal()
    traffic.go_on(100)
    cluster.pods[LEARNER][0].container("learner").running.kill()
    cluster.pods[LEARNER][0].heal()
    cluster.replace(LEARNER)


def any_pod_answers_any_session(cluster: Cluster, traffic: Traffic, key: str) -> None:
    """Sessions live in the store: whichever pod decided, all repeat the same decision."""
    told = [item for caller in traffic.callers for item in list(caller.heard.decided.items())[-3:]]
    for pod in cluster.pods[SERVICE]:
        line = http.client.HTTPConnection(pod.ip, pod.port("http"), timeout=10)
        for decision_id, arm in told:
            line.request("GET", f"/v1/decisions/{decision_id}", headers={"Authorization": f"Bearer {key}"})
            answer = line.getresponse()
            seen = json.loads(answer.read())
            assert (answer.status, seen["arm"]) == (200, arm), (pod.name, seen)
        line.close()


def spooled(pod: Pod) -> list[Path]:
    """What a service answered and only it knows of."""
    return list(DataFolder(pod.volumes["data"]).spool(APP).glob("*/*.spool"))


def check(cluster: Cluster, traffic: Traffic, folder: Path) -> None:
    """Every promise, at the end of all pods but the store's."""
    (store,) = cluster.pods[STORE]
    keys = [Keys(APP, partition) for partition in range(PARTITIONS)]
    until(lambda: not any(map(spooled, cluster.pods[SERVICE])), 60.0, "the store has heard of all")
    with redis.Redis(host=store.ip, port=store.port("redis")) as client:
        until(lambda: all_finalised(client, keys), 60.0, "all finalised")
        cluster.stop(set(cluster.pods) - {STORE, ARCHIVER})
        cluster.stop([ARCHIVER])  # it goes as far as the learner says that it has been
        check_books(client, keys)
    for job in ("compaction", "evaluation"):
        cluster.run_job(job)
    cluster.stop([STORE])
    rows = rows_of(folder / "claims", APP, "decisions")
    check_decisions(traffic, rows)
    check_rewards(traffic, rows, rows_of(folder / "claims", APP, "late"))
