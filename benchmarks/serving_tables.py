"""The tables of the shop that is measured: the example's rows, in the store."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
import polars as pl
import redis

from benchmarks.shop.features import Campaign
from decision_service.sources.load import load, prepare
from examples.shop import features as shop
from sidecar.contracts.keys import FeatureKeys

_OF_EXAMPLE: dict[str, tuple[str, type]] = {
    "logins": ("logins.json", shop.Login),
    "customers": ("customers.json", shop.Profile),
    "stockroom": ("offers.json", shop.Offer),
    "register": ("merchants.json", shop.Merchant),
}
_SEGMENTS = ("guest", "student", "parent", "professional", "retired")


def load_tables(client: redis.Redis, app: str, scratch: Path) -> None:
    """Put all of them into the store, by way of Parquet files in ``scratch``."""
    tables: dict[str, dict[str, object]] = {
        name: dict(shop.read_rows(*of)) for name, of in _OF_EXAMPLE.items()
    }
    tables["campaigns"] = {segment: Campaign(f"{segment} days") for segment in _SEGMENTS}
    for name, rows in tables.items():
        path = scratch / f"{name}.parquet"
        columns = [{"key": key, **msgspec.to_builtins(row)} for key, row in rows.items()]
        pl.DataFrame(columns).write_parquet(path)
        load(
            client,
            prepare(path, FeatureKeys(app, name), ["key"]),
            "benchmark",
            time.time_ns() // 1_000_000,
        )
