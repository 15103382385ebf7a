"""Both clients on a real cluster: whole or not at all, never twice, and back after a failover."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator, Iterator

import pytest
import redis

from policy_learner.join.streams import Wanted, read_all_after
from sidecar.contracts import keys as app_keys
from sidecar.contracts.cluster.commands import NotReplicated
from sidecar.contracts.cluster.slots import SlotMoving
from sidecar.contracts.keys import Keys
from sidecar.contracts.scripts.working import lease_call
from sidecar.contracts.store import (
    AsyncClient,
    AsyncScripts,
    Client,
    Scripts,
    StoreError,
    connect,
    connect_async,
    connect_reader_async,
    is_passing,
    store_now_ms,
    take_epoch,
)
from tests.processes import Processes, short_folder
from tests.store_cluster.servers import StoreCluster, store_cluster
from tests.waiting import until

pytestmark = pytest.mark.slow
PARTITIONS = [Keys("app", p) for p in range(8)]


@pytest.fixture(scope="module")
def cluster() -> Iterator[StoreCluster]:
    folder = short_folder()
    processes = Processes(folder)
    with store_cluster(processes, folder, wait_ms=2000) as cluster:
        yield cluster
        stubborn = processes.stop_all()
    shutil.rmtree(folder, ignore_errors=True)
    assert not stubborn


@pytest.fixture
def client(cluster: StoreCluster) -> Iterator[Client]:
    with connect(cluster.url) as client:
        for server in cluster.primaries():
            server.client.flushall()
        yield client


@pytest.fixture
async def async_client(cluster: StoreCluster, client: Client) -> AsyncIterator[AsyncClient]:
    async_client = connect_async(cluster.url, timeout_s=5.0)
    yield async_client
    await async_client.aclose()


def lease(keys: Keys, holder: str = "me"):
    return lease_call(keys, holder, 60_000)


def test_a_round_trip_to_all_partitions_keeps_the_order(client: Client) -> None:
    """What has no key is answered where the first key is: the clock of a partition is that of its scripts."""
    for keys in PARTITIONS:
        client.set(keys.lease, keys.partition)
    pipe = client.pipeline(transaction=False)
    pipe.time()
    for keys in PARTITIONS:
        pipe.get(keys.lease)
    (_, *found) = pipe.execute()
    assert [int(value) for value in found] == [keys.partition for keys in PARTITIONS]
    assert store_now_ms(client, PARTITIONS[3]) > 0


def test_a_script_is_known_to_every_primary(client: Client) -> None:
    """Loaded where it is first asked for, and wherever else a key may lie."""
    scripts = Scripts.on(client)
    assert all(scripts.run(lease(keys)) for keys in PARTITIONS)
    assert all(scripts.run_all([lease(keys) for keys in PARTITIONS]))
    assert [take_epoch(client, "app"), take_epoch(client, "app")] == [1, 2]


async def test_servers_talk_to_all_nodes_at_once(async_client: AsyncClient) -> None:
    scripts = AsyncScripts.on(async_client)
    assert await scripts.run_all([lease(keys) for keys in PARTITIONS]) == [1] * 8
    assert await scripts.run(lease(PARTITIONS[0]))
    pipe = async_client.pipeline(transaction=True)
    pipe.hset(PARTITIONS[1].counters, "dec", 1)
    pipe.hgetall(PARTITIONS[1].counters)
    assert await pipe.execute() == [1, {b"dec": b"1"}]


def test_a_transaction_happens_on_one_slot_and_only_if_nothing_changed(client: Client) -> None:
    counters = PARTITIONS[2].counters
    with client.pipeline(transaction=True) as pipe:
        pipe.watch(counters)
        client.hset(counters, "dec", 5)
        pipe.multi()
        pipe.hset(counters, "dec", 1)
        with pytest.raises(redis.WatchError):
            pipe.execute()
    assert client.hget(counters, "dec") == b"5"
    with client.pipeline(transaction=True) as pipe:
        pipe.hset(counters, "dec", 1)
        pipe.hset(PARTITIONS[3].counters, "dec", 1)
        with pytest.raises(redis.ResponseError, match="over 2 slots"):
            pipe.execute()


async def test_a_slot_on_its_way_is_a_store_that_is_away(
    cluster: StoreCluster, client: Client, async_client: AsyncClient
) -> None:
    """One key is found wherever it is; a script needs all keys in one place: nothing is done before."""
    keys, scripts = PARTITIONS[0], Scripts.on(client)
    client.set(keys.skew, 0)
    scripts.run(lease(keys))
    with cluster.migrating(keys.lease):
        assert client.get(keys.skew) == await async_client.get(keys.skew) == b"0"
        with pytest.raises(SlotMoving) as caught:
            scripts.run(lease(keys))
        assert is_passing(caught.value)
        (answer,) = await AsyncScripts.on(async_client).run_all([lease(keys)])
        assert isinstance(answer, SlotMoving)
    assert scripts.run(lease(keys))
    assert await AsyncScripts.on(async_client).run(lease(keys))


def test_what_no_replica_has_is_not_certain(cluster: StoreCluster, client: Client) -> None:
    """Neither for who wrote it, who may repeat it, nor for who read it.

    Who is refused a lease has written nothing, and what was there before may long be everywhere: the holder
    takes it again.
    """
    keys, scripts = PARTITIONS[5], Scripts.on(client)
    scripts.run(lease(keys))
    wanted = [Wanted(keys.examples, "0-0")]
    client.xadd(keys.examples, {"a": "b"})
    assert [len(entries) for entries in read_all_after(client, wanted, 10)] == [1]
    replica = cluster.replica_of(keys.lease)
    os.kill(replica.process.pid, signal.SIGSTOP)
    try:
        with pytest.raises(NotReplicated):
            scripts.run(lease(keys))
        with pytest.raises(NotReplicated):
            read_all_after(client, wanted, 10)
    finally:
        os.kill(replica.process.pid, signal.SIGCONT)
    until(cluster.is_well, 60.0, poll_s=0.1)
    assert [len(entries) for entries in read_all_after(client, wanted, 10)] == [1]


async def test_everybody_comes_back_after_a_failover(
    cluster: StoreCluster, client: Client, async_client: AsyncClient
) -> None:
    """A reader that blocks too; the replica that took over learns the scripts when it is asked for them."""
    keys, scripts, async_scripts = PARTITIONS[0], Scripts.on(client), AsyncScripts.on(async_client)
    scripts.run(lease(keys))
    reader = connect_reader_async(cluster.url, block_s=30.0)
    waiting = asyncio.create_task(reader.xread({keys.examples: "$"}, block=30_000))
    await asyncio.to_thread(lambda: cluster.fail_over(keys.lease).start())
    await asyncio.to_thread(lambda: until(cluster.is_well, 60.0, poll_s=0.1))
    await asyncio.gather(waiting, return_exceptions=True)
    until(lambda: answers(lambda: scripts.run(lease(keys))), 60.0, "the client for threads")
    said = [(await async_scripts.run_all([lease(keys)]))[0] for _ in range(3)]
    assert said[-1] == 1, said
    client.xadd(keys.examples, {"a": "b"})
    assert len(await reader.xread({keys.examples: "0"}, block=1000)) == 1
    await reader.aclose()


async def test_a_cluster_that_is_not_there_is_a_store_that_is_away() -> None:
    url = "redis+cluster://127.0.0.1:1,127.0.0.1:2"
    with connect(url) as client, pytest.raises(StoreError) as caught:
        client.get(app_keys.weights("app"))
    assert is_passing(caught.value)
    async_client = connect_async(url)
    with pytest.raises(StoreError):
        await async_client.get(app_keys.weights("app"))
    with pytest.raises(StoreError):
        await AsyncScripts.on(async_client).run_all([lease(PARTITIONS[0])])
    await async_client.aclose()


def answers(ask) -> bool:
    try:
        ask()
    except StoreError:
        return False
    return True
