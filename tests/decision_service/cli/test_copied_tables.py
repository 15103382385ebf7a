"""Tables that the store had before there was a feature store: copied once, and no older than they were."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
import redis

from decision_service.cli.copied_tables import copy_tables
from decision_service.cli.errors import CommandError
from decision_service.cli.platform import Platform
from decision_service.cli.store import FEATURE_STORE, running_pid, start_store
from decision_service.sources.load import load, prepare, read_record
from sidecar.contracts.application import Application
from sidecar.contracts.keys import FeatureKeys
from sidecar.contracts.layout import DataFolder
from sidecar.contracts.store import connect

NOW_MS = 4_000_000_000_000
"""Long after this: what expires then is there now."""


@pytest.fixture
def features(data_folder: DataFolder) -> Iterator[redis.Redis]:
    """A client of a feature store."""
    with start_store(data_folder, FEATURE_STORE) as server, connect(server.url) as client:
        yield client


def load_table(client: redis.Redis, folder: Path, table: str, segment: str, **more: int) -> FeatureKeys:
    frame = pl.DataFrame({"id": [f"c-{n}" for n in range(20)], "segment": [segment] * 20})
    frame.write_parquet(folder / "t.parquet")
    keys = FeatureKeys("shop", table)
    load(client, prepare(folder / "t.parquet", keys, ["id"], slots=3), segment, NOW_MS, **more)
    return keys


def content(client: redis.Redis) -> dict[bytes, tuple[object, object]]:
    """What each key of a table holds, and when it ends."""
    return {
        key: (client.dump(key), client.pexpiretime(key.decode())) for key in client.scan_iter("{*.f.*}:*")
    }


def test_each_is_copied_with_its_rows_and_its_end(
    store: redis.Redis, features: redis.Redis, tmp_path: Path
) -> None:
    """All keys of two tables, one of which expires; nothing else, of nobody else; the originals stay."""
    load_table(store, tmp_path, "customers", "new")
    load_table(store, tmp_path, "offers", "old", ttl_ms=60_000)
    before = content(store)
    store.set("{other.f.customers}:record", "of another application")
    store.set("{shop.0}:d:1", "a decision")

    assert copy_tables(store, features, "shop") == 2

    assert content(features) == before
    assert set(content(store)) > set(before)
    assert copy_tables(store, features, "shop") == 0
    assert copy_tables(store, features, "other") == 1


def test_what_was_loaded_since_stays(store: redis.Redis, features: redis.Redis, tmp_path: Path) -> None:
    """A table of the feature store is never replaced by an older one, nor one that ended brought back."""
    keys = load_table(store, tmp_path, "customers", "old")
    load_table(features, tmp_path, "customers", "new")
    newer = read_record(features, keys)

    copy_tables(store, features, "shop")
    assert read_record(features, keys) == newer
    features.delete(keys.record)
    assert copy_tables(store, features, "shop") == 0
    assert read_record(features, keys) is None


def test_what_was_interrupted_is_begun_again(
    store: redis.Redis, features: redis.Redis, tmp_path: Path
) -> None:
    """At no step is there a record without its rows, and the next start copies the rest."""
    keys = load_table(store, tmp_path, "customers", "new")
    whole = content(store)
    for _ in range(len(whole) - 1):
        with pytest.raises(Interrupted):
            copy_tables(store, OneStep(features), "shop")  # type: ignore[arg-type]
        assert read_record(features, keys) is None
    assert copy_tables(store, features, "shop") == 1
    assert content(features) == whole


def test_a_platform_copies_them_when_it_first_has_a_feature_store(
    data_folder: DataFolder, tmp_path: Path
) -> None:
    """And says how many. An application without features of its own gets no second server."""
    with start_store(data_folder) as server, connect(server.url) as client:
        keys = load_table(client, tmp_path, "customers", "new")
    application = Application(name="shop", features="features.py")
    copied = []
    for _ in range(2):
        platform = Platform(tmp_path, data_folder, 0, {}, application, "")
        try:
            platform.start_servers()
            copied.append(platform.tables_copied)
            with connect(platform.feature_store_url) as client:
                assert read_record(client, keys) is not None
        finally:
            platform.stop()
    assert copied == [1, 0]


@pytest.mark.parametrize(
    ("features", "environ"), [(None, {}), ("features.py", {"FEATURE_STORE_URL": "redis://elsewhere"})]
)
def test_who_needs_no_second_server_gets_none(
    data_folder: DataFolder, tmp_path: Path, features: str | None, environ: dict[str, str]
) -> None:
    """No features, or a feature store elsewhere."""
    platform = Platform(tmp_path, data_folder, 0, environ, Application(name="shop", features=features), "")
    try:
        platform.start_servers()
        assert [server.kind.name for server in platform.servers] == ["store"]
    finally:
        platform.stop()


def test_tables_that_cannot_be_copied_stop_the_start_and_say_what_to_do(
    data_folder: DataFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rather than decide without features. Nothing is left running by who stops the platform."""

    def failing(*_: object) -> int:
        raise redis.ResponseError("OOM command not allowed")

    monkeypatch.setattr("decision_service.cli.platform.copy_tables", failing)
    platform = Platform(tmp_path, data_folder, 0, {}, Application(name="shop", features="f.py"), "")
    try:
        with pytest.raises(CommandError, match=r"OOM.*FEATURE_STORE_URL=unix://.*/run/store\.sock"):
            platform.start_servers()
    finally:
        platform.stop()
    assert running_pid(data_folder, FEATURE_STORE) is running_pid(data_folder) is None


class Interrupted(Exception):
    """As a kill."""


class OneStep:
    """A client that restores one key, and then no more."""

    def __init__(self, client: redis.Redis) -> None:
        self._client, self._done = client, False

    def restore(self, *arguments: object, **more: object) -> None:
        if self._done:
            raise Interrupted
        self._done = True
        self._client.restore(*arguments, **more)  # type: ignore[arg-type]

    def __getattr__(self, name: str) -> object:
        return getattr(self._client, name)
