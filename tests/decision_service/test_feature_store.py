"""Tables of features in a store of their own: they are read there, and its end takes no decision along."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pytest

from decision_service.cli.store import FEATURE_STORE, EmbeddedStore, start_store
from decision_service.sources.load import load, prepare
from sidecar.contracts.keys import FeatureKeys
from sidecar.contracts.store import connect
from tests.decision_service.platform import Platform, platform
from tests.processes import Processes
from tests.waiting import until

FEATURES = """
from contextlib import asynccontextmanager
from typing import TypedDict

from msgspec import Struct

from decision_service.sources.store import StoreTable, open_feature_store
from feature_graph import Graph, fetch


class Customer(Struct, frozen=True):
    segment: str


class Given(TypedDict):
    unit_id: str
    customers: StoreTable[Customer]


@fetch(timeout=1.5, fallback="guest")
async def segment(unit_id: str, customers: StoreTable[Customer]) -> str:
    return (await customers.get(unit_id)).segment


@asynccontextmanager
async def clients(around):
    async with open_feature_store(around.feature_store_url, around.application) as tables:
        yield {"customers": tables.table("customers", Customer)}


graph = Graph(Given, segment)
goals = ("segment",)
"""
FETCHED, STOOD_IN = ("student", "ok"), ("guest", "fallback")


@contextmanager
def shop_with_tables(**environ: str) -> Iterator[tuple[Platform, EmbeddedStore]]:
    """A platform whose customer ``u-1`` is a student, as the feature store alone knows."""
    files, top = {"features.py": FEATURES}, 'features = "features.py"'
    with (
        platform(sidecar=False, top=top, files=files, environ=environ) as shop,
        start_store(shop.data, FEATURE_STORE) as server,
    ):
        load_customers(server, shop.folder)
        yield shop, server


def load_customers(server: EmbeddedStore, folder: Path) -> None:
    pl.DataFrame({"id": ["u-1"], "segment": ["student"]}).write_parquet(folder / "c.parquet")
    with connect(server.url) as client:
        load(client, prepare(folder / "c.parquet", FeatureKeys("bench", "customers"), ["id"]), "test", 1)


def decided(shop: Platform) -> tuple[object, object]:
    """The segment of a decision for ``u-1`` as it was scored, and what became of it; it is in the log."""
    answer = shop.recommend(unit_id="u-1")
    assert answer.status_code == 201, answer.text
    assert answer.json()["logged"] is True
    found = shop.decision(answer.json()["decision_id"])
    return found["context"].get("segment"), found["outcomes"].get("segment")


def test_features_are_read_there_and_a_server_that_is_killed_takes_no_decision_along() -> None:
    """Fallbacks stand in, everything is logged and rewarded, and rows are read again when it is back."""
    with shop_with_tables() as (shop, server):
        assert decided(shop) == FETCHED
        assert not list(shop.store.scan_iter("*.f.*"))

        server.kill()

        assert [decided(shop) for _ in range(5)] == [STOOD_IN] * 5
        assert shop.reward(session_id="s-42", event="purchase", reward_id="r").status_code == 202
        with start_store(shop.data, FEATURE_STORE):
            until(lambda: decided(shop) == FETCHED)


def test_a_server_that_hangs_costs_its_features_and_no_more() -> None:
    """SIGSTOP: connections stand, and nothing comes."""
    with shop_with_tables() as (shop, server):
        assert decided(shop) == FETCHED
        os.kill(server.pid, signal.SIGSTOP)
        try:
            assert decided(shop) == STOOD_IN
        finally:
            os.kill(server.pid, signal.SIGCONT)
        until(lambda: decided(shop) == FETCHED)


def test_without_the_store_rows_are_read_all_the_same() -> None:
    """What happens is spooled as ever; the log says later that the features were fetched."""
    with shop_with_tables() as (shop, _):
        assert decided(shop) == FETCHED
        shop.store_server.kill()
        answer = shop.recommend(unit_id="u-1", session_id="spooled").json()
        assert answer["logged"] is True
        with start_store(shop.data):
            until(lambda: shop.client.get(f"/v1/decisions/{answer['decision_id']}").status_code == 200)
            found = shop.decision(answer["decision_id"])
            assert (found["context"]["segment"], found["outcomes"]["segment"]) == FETCHED
            until(lambda: decided(shop) == FETCHED)


def test_where_one_is_named_it_is_that_one(store_server: EmbeddedStore, store: object) -> None:
    """FEATURE_STORE_URL wins over the one in the data folder."""
    with shop_with_tables(FEATURE_STORE_URL=store_server.url) as (shop, _):
        assert decided(shop) == STOOD_IN
        load_customers(store_server, shop.folder)
        assert decided(shop) == FETCHED


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"FEATURE_STORE_URL": "http://:hunter2@host"}, "FEATURE_STORE_URL: 'http://host' is no address"),
        ({"FEATURE_STORE_URL_FILE": "/nowhere/url"}, "FEATURE_STORE_URL_FILE: /nowhere/url should hold"),
    ],
)
def test_what_is_no_address_stops_the_start(
    tmp_path: Path, processes: Processes, environ: dict[str, str], said: str
) -> None:
    """One line with the setting, the value without its password, and what is legal; exit code 2."""
    (tmp_path / "app.toml").write_text('name = "bench"\n')
    (tmp_path / "arms.json").write_text('[{"id": "a"}]')
    service = processes.start("decision_service", "--app", tmp_path, "--data", tmp_path, environ=environ)
    assert service.exit_code() == 2
    assert said in service.output()
    assert "hunter2" not in service.output()
