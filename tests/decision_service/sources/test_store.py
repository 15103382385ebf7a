"""The store as a source of features: batches across requests, new generations, and what goes wrong."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TypedDict

import polars as pl
import pytest
from msgspec import Struct

from decision_service.sources.errors import (
    BadAnswer,
    BadKey,
    BadSource,
    RowMissing,
    SourceAway,
    SourceRefused,
    TableNotLoaded,
)
from decision_service.sources.load import load, prepare
from decision_service.sources.store import open_feature_store
from feature_graph import Graph, KeyMissing, TransientError, fetch
from sidecar.contracts.errors import BadSettings
from sidecar.contracts.keys import FeatureKeys


class Customer(Struct):
    segment: str
    orders: int = 0


@pytest.fixture
def loaded(store, tmp_path: Path):
    """Loads a table of customers c-0, c-1, … of one segment."""

    def loading(
        n: int = 100, segment: str = "new", table: str = "customers", slots: int | None = None
    ) -> None:
        ids = [f"c-{i}" for i in range(n)]
        frame = pl.DataFrame({"id": ids, "segment": [segment] * n, "orders": list(range(n))})
        frame.write_parquet(tmp_path / "t.parquet")
        prepared = prepare(tmp_path / "t.parquet", FeatureKeys("shop", table), ["id"], slots)
        load(store, prepared, segment, time.time_ns() // 1_000_000)

    return loading


def commands(store) -> dict[str, int]:
    """How often each command was called."""
    stats = store.info("commandstats")
    return {name.removeprefix("cmdstat_"): stat["calls"] for name, stat in stats.items()}


@pytest.mark.parametrize("slots", [1, 5])
async def test_rows_come_as_their_type(loaded, store_url, slots):
    """One and many; what is not there is missing."""
    loaded(slots=slots)
    async with open_feature_store(store_url, "shop") as features:
        table = features.table("customers", Customer)
        assert await table.get("c-7") == Customer("new", 7)
        assert await table.many(["c-1", "nobody", "c-99", "c-1"]) == {
            "c-1": Customer("new", 1),
            "c-99": Customer("new", 99),
        }
        assert await table.many([]) == {}
        assert await features.table("customers", dict).get("c-7") == {
            "id": "c-7",
            "segment": "new",
            "orders": 7,
        }
        with pytest.raises(RowMissing) as caught:
            await table.get("nobody")
        assert isinstance(caught.value, KeyMissing)
        assert "nobody" not in str(caught.value)


async def test_concurrent_requests_share_one_round_trip(loaded, store, store_url):
    """Also over several tables; each key is asked once."""
    loaded()
    loaded(table="other")
    async with open_feature_store(store_url, "shop", in_flight=1) as features:
        one, two = features.table("customers", Customer), features.table("other", Customer)
        await one.get("c-0")
        await two.get("c-0")
        before = commands(store)
        asked = [table.get(f"c-{i % 50}") for i in range(100) for table in (one, two)]
        rows = await asyncio.gather(*asked)
        after = commands(store)
    assert rows[2 * 17] == Customer("new", 17)
    assert after["hmget"] - before["hmget"] == 2
    assert after["get"] - before["get"] == 2


async def test_many_keys_are_several_questions(loaded, store_url):
    """None of them blocks the store for long."""
    loaded(5000)
    async with open_feature_store(store_url, "shop") as features:
        found = await features.table("customers", Customer).many([f"c-{i}" for i in range(6000)])
    assert len(found) == 5000


async def test_a_new_generation_is_seen_by_the_next_question(loaded, store_url):
    """With other slots, even, and although the old rows are still there."""
    loaded(segment="old", slots=1)
    async with open_feature_store(store_url, "shop") as features:
        table = features.table("customers", Customer)
        assert (await table.get("c-1")).segment == "old"
        loaded(segment="young", slots=4)
        assert (await table.get("c-1")).segment == "young"


async def test_readers_never_see_half_a_table(loaded, store, store_url):
    """Every answer of a batch is of one generation, while generations come and go."""
    loaded(2000, "g0")
    async with open_feature_store(store_url, "shop") as features:
        table = features.table("customers", Customer)
        done = asyncio.Event()
        seen: set[str] = set()

        async def read() -> None:
            while not done.is_set():
                rows = await table.many(["c-0", "c-1", "c-1999"])
                assert len(rows) == 3
                assert len({row.segment for row in rows.values()}) == 1
                seen.add(rows["c-0"].segment)

        readers = [asyncio.create_task(read()) for _ in range(4)]
        for generation in range(1, 8):
            await asyncio.to_thread(loaded, 2000, f"g{generation}", slots=generation)
            while f"g{generation}" not in seen and not any(reader.done() for reader in readers):  # noqa: ASYNC110 - readers tell nobody
                await asyncio.sleep(0)
        done.set()
        await asyncio.gather(*readers)
    assert seen >= {f"g{generation}" for generation in range(1, 8)}


async def test_a_table_that_is_not_there_is_said_to_be_not_loaded_and_found_once_it_is(
    loaded, store, store_url
):
    """And again when its time to live is over: it is nobody's missing key."""
    async with open_feature_store(store_url, "shop") as features:
        table = features.table("customers", Customer)
        for _ in range(2):
            with pytest.raises(TableNotLoaded, match="`sidearm features load`") as caught:
                await table.get("c-1")
            assert not isinstance(caught.value, KeyError | TransientError)
            loaded()
            assert await table.get("c-1") == Customer("new", 1)
            store.delete(FeatureKeys("shop", "customers").record)


async def test_one_table_that_is_away_does_not_harm_its_neighbours(loaded, store, store_url):
    """They travel in the same round trip."""
    loaded()
    store.hset(FeatureKeys("shop", "odd").record, "a", "b")
    store.set(FeatureKeys("shop", "bytes").record, b"\xc1")
    async with open_feature_store(store_url, "shop") as features:
        names = ("customers", "odd", "bytes", "absent")
        ends = await asyncio.gather(
            *(features.table(name, Customer).get("c-1") for name in names), return_exceptions=True
        )
    assert [type(end) for end in ends] == [Customer, SourceRefused, BadAnswer, TableNotLoaded]


async def test_rows_that_are_not_of_the_type_are_an_error(loaded, store, store_url):
    """Wrong columns, or bytes that are no row."""

    class Other(Struct):
        colour: str

    loaded()
    async with open_feature_store(store_url, "shop") as features:
        with pytest.raises(BadAnswer, match="`colour`"):
            await features.table("customers", Other).get("c-1")
        name = next(iter(store.scan_iter("*rows*")))
        store.hset(name, mapping={"c-1": b"\xc1", "c-2": b"\x91\x01"})
        for key in ("c-1", "c-2"):
            with pytest.raises(BadAnswer, match="row"):
                await features.table("customers", Customer).get(key)


async def test_a_key_that_is_none_is_refused(loaded, store_url):
    """Nor one of the wrong number of parts, which would only be missing."""
    loaded()
    async with open_feature_store(store_url, "shop") as features:
        table = features.table("customers", Customer)
        for key in (1.5, None, ("a", "b"), "x" * 2000):
            with pytest.raises(BadKey):
                await table.get(key)
            with pytest.raises(BadKey):
                await table.many([key])
        with pytest.raises(BadSource, match="no name of a table"):
            features.table("a}b", Customer)


async def test_a_store_that_is_away_is_transient_for_everyone_who_asked(data_folder):
    """Each has an error of its own; what comes later asks anew."""
    async with open_feature_store(f"unix://{data_folder.store_socket()}", "shop") as features:
        table = features.table("customers", Customer)
        ends = await asyncio.gather(*(table.get("c-1") for _ in range(5)), return_exceptions=True)
    assert {type(end) for end in ends} == {SourceAway}
    assert len({id(end) for end in ends}) == 5
    assert isinstance(ends[0], TransientError)


async def test_a_store_that_hangs_is_away_after_the_timeout(tmp_path):
    """Not after the client library's fifty-nine seconds."""

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1024):
            pass
        writer.close()
        hung_up.set()

    hung_up = asyncio.Event()
    hanging = await asyncio.start_server(hang, "127.0.0.1", 0)
    port = hanging.sockets[0].getsockname()[1]
    began_s = time.monotonic()
    async with open_feature_store(f"redis://127.0.0.1:{port}", "shop", timeout_s=0.05) as features:
        with pytest.raises(SourceAway):
            await features.table("customers", Customer).get("c-1")
    assert time.monotonic() - began_s < 5.0
    await hung_up.wait()
    hanging.close()


async def test_one_who_gives_up_does_not_take_the_others_along(loaded, store_url):
    """A cancelled request leaves the round trip to those who still wait."""
    loaded()
    async with open_feature_store(store_url, "shop", in_flight=1) as features:
        table = features.table("customers", Customer)
        for turns in range(12):
            impatient = asyncio.create_task(table.get("c-1"))
            patient = asyncio.create_task(table.get("c-2"))
            for _ in range(turns):
                await asyncio.sleep(0)
            impatient.cancel()
            assert await patient == Customer("new", 2)
            await asyncio.gather(impatient, return_exceptions=True)


@pytest.mark.parametrize("url", ["", "http://x", "localhost:6379"])
async def test_an_address_that_is_none_is_refused(url):
    """At the start."""
    with pytest.raises(BadSettings, match="no address of a store"):
        async with open_feature_store(url, "shop"):
            pass


@pytest.mark.parametrize("option", ["timeout_s", "max_batch", "in_flight"])
async def test_limits_are_above_0(store_url, option):
    """Or nothing would ever be asked."""
    with pytest.raises(BadSource, match="above 0"):
        async with open_feature_store(store_url, "shop", **{option: 0}):
            pass


class Given(TypedDict):
    key: str
    table: object


@fetch(timeout=1.0, fallback=Customer("guest"))
async def customer(key: str, table) -> Customer:
    return await table.get(key)


async def test_in_a_graph_a_missing_row_falls_back_and_the_generation_is_noted(loaded, store_url):
    """The decision log can tell which table a feature came from."""
    loaded()
    graph = Graph(Given, customer)
    async with open_feature_store(store_url, "shop") as features:
        table = features.table("customers", Customer)
        there = await graph.resolve("customer", given={"key": "c-3", "table": table}, deadline=5.0)
        gone = await graph.resolve("customer", given={"key": "x", "table": table}, deadline=5.0)
    assert there["customer"] == Customer("new", 3)
    assert str(there.outcomes["customer"].notes["generation"]).endswith("-new")
    assert gone["customer"] == Customer("guest")
    assert isinstance(gone.outcomes["customer"].error, RowMissing)
