"""What every test may ask for: the real store, a data folder of its own, and processes that do not linger."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from hypothesis import settings

from decision_service.cli.store import EmbeddedStore, start_store
from sidecar.contracts.layout import DataFolder
from sidecar.contracts.store import connect
from tests.processes import Processes, short_folder

# Property tests try the same examples at every run: what fails once fails again. Slowness is no failure.
settings.register_profile("seeded", derandomize=True, deadline=None)
settings.load_profile("seeded")


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own addresses or SIDEARM_* must neither be used nor changed by a test."""
    for name in [n for n in os.environ if n.startswith(("REDIS_URL", "FEATURE_STORE_URL", "SIDEARM_"))]:
        monkeypatch.delenv(name)


@pytest.fixture
def data_folder(tmp_path: Path) -> Iterator[DataFolder]:
    """An empty data folder, on a path short enough for sockets."""
    folder = short_folder()
    yield DataFolder(folder)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def store_server() -> Iterator[EmbeddedStore]:
    """One embedded store for all tests of this worker."""
    folder = short_folder()
    with start_store(DataFolder(folder)) as server:
        yield server
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def store(store_server: EmbeddedStore) -> Iterator[redis.Redis]:
    """A client of the store, which is empty when the test begins. It answers bytes."""
    with connect(store_server.url, timeout_s=10.0) as client:
        client.flushall()
        client.script_flush()
        yield client


@pytest.fixture
def store_url(store_server: EmbeddedStore, store: redis.Redis) -> str:
    """Where the (emptied) store is."""
    return store_server.url


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    """Starts ``python -m module``; fails the test when one does not end at SIGTERM."""
    started = Processes(tmp_path)
    yield started
    stubborn = started.stop_all()
    assert not stubborn, f"did not end at SIGTERM: {stubborn}"
