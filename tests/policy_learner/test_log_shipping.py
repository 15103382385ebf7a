"""The log in an object store that speaks S3: whole, never replaced, each row once for who reads it there."""

from __future__ import annotations

import itertools
from collections import Counter
from contextlib import suppress

import httpx
import obstore
import pytest
from moto.server import ThreadedMotoServer
from obstore.exceptions import BaseError
from typer.testing import CliRunner

from decision_service.cli.main import root
from policy_learner.archive import chain, log_shipping
from policy_learner.archive.chain import dataset_folder
from policy_learner.archive.generation import clean
from policy_learner.archive.log_keeping import Policy, keep, keeping
from policy_learner.archive.log_shipping import Shipper, fetch, open_store
from policy_learner.errors import BadArchive
from policy_learner.settings import LearnerSettings
from tests.policy_learner.logs import APP, Archiver, ms, read_ids
from tests.waiting import until

_NUMBERS = itertools.count()
POLICY = Policy(many_files=1000, retention_days=0, grace_s=3600.0)


@pytest.fixture(scope="module")
def endpoint():
    """A server that speaks S3."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def url(endpoint, monkeypatch):
    """An empty bucket of it."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ALLOW_HTTP": "true",
    }.items():
        monkeypatch.setenv(name, value)
    bucket = f"bucket-{next(_NUMBERS)}"
    assert httpx.put(f"{endpoint}/{bucket}").status_code == 200
    return f"s3://{bucket}/shop"


@pytest.fixture
def archiver(tmp_path):
    archiver = Archiver(tmp_path / "here")
    for day in range(3):
        archiver.write(day)
    return archiver


def fetched(url, folder):
    fetch(open_store(url), folder)
    return read_ids(dataset_folder(folder, "decisions", APP))


def names(url):
    return [entry["path"] for chunk in obstore.list(open_store(url)) for entry in chunk]


def test_what_was_shipped_is_fetched_before_between_and_after_compactions(archiver, url, tmp_path):
    """Every row once each time; nothing is put twice, and what was replaced goes when its grace is over."""
    shipper = Shipper(archiver.log, open_store(url))
    assert shipper.ship().files == 18
    assert shipper.ship() == (0, 0, 0)
    assert fetched(url, tmp_path / "a") == archiver.ids
    keep(archiver.log, APP, ms(2, 900), POLICY)
    assert shipper.ship().files == 4  # two days, two manifests
    assert fetched(url, tmp_path / "b") == archiver.ids
    archiver.write(2, start_s=5000)
    keep(archiver.log, APP, ms(3, 900), POLICY)
    assert clean(archiver.folder, ms(9), 0) != []
    assert shipper.ship().removed == 20  # the archiver's files and two manifests
    assert Shipper(archiver.log, open_store(url)).ship() == (0, 0, 0)
    assert len(names(url)) == 4  # three days and a manifest
    assert fetched(url, tmp_path / "c") == archiver.ids


def test_models_that_the_log_begins_with_go_along(archiver, url, tmp_path):
    """The version log names a base that was handed over: without it nothing after it can be rebuilt."""
    models = archiver.log / "models"
    models.mkdir()
    for name in ("0123456789abcdef.base", "1000000000001.bin", "7.checkpoint", ".half.123"):
        (models / name).write_bytes(name.encode())
    Shipper(archiver.log, open_store(url)).ship()
    fetch(open_store(url), tmp_path / "there")
    fetched = {path.name: path.read_bytes() for path in (tmp_path / "there" / "models").iterdir()}
    assert fetched == {
        name: name.encode() for name in ("0123456789abcdef.base", "1000000000001.bin", "7.checkpoint")
    }


def test_a_learner_can_go_on_where_the_fetched_log_ends(archiver, url, tmp_path):
    """The chain is whole on the new machine."""
    keep(archiver.log, APP, ms(2, 900), POLICY)
    Shipper(archiver.log, open_store(url)).ship()
    fetched(url, tmp_path / "new")
    there = dataset_folder(tmp_path / "new", "decisions", APP)
    for lane in range(2):
        assert chain.end_of(there, lane) == chain.end_of(archiver.folder, lane)
        chain.verify(there, lane)


@pytest.mark.parametrize("stopped_after", range(0, 9, 2))
def test_stopped_anywhere_the_copy_holds_each_row_at_most_once_and_the_next_ends_it(
    archiver, url, tmp_path, monkeypatch, stopped_after
):
    """A manifest is never there before its files."""
    Shipper(archiver.log, open_store(url)).ship()
    keep(archiver.log, APP, ms(3, 900), POLICY)
    put, left = obstore.put, [stopped_after]

    def stopping(*arguments, **options):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return put(*arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(log_shipping.obstore, "put", stopping)
        with suppress(KeyboardInterrupt):
            Shipper(archiver.log, open_store(url)).ship()
    assert fetched(url, tmp_path / "between") == archiver.ids
    Shipper(archiver.log, open_store(url)).ship()
    assert fetched(url, tmp_path / "after") == archiver.ids


def test_two_that_ship_do_not_disturb_each_other(archiver, url, tmp_path):
    """Both believe that nothing is there: the second finds the names taken by the same bytes."""
    one, other = Shipper(archiver.log, open_store(url)), Shipper(archiver.log, open_store(url))
    one._there, other._there = set(), set()
    one.ship()
    other.ship()
    assert fetched(url, tmp_path / "a") == archiver.ids


def test_another_log_in_the_same_place_is_refused_and_nothing_is_replaced(archiver, url, tmp_path):
    """The name is taken, by other bytes."""
    Shipper(archiver.log, open_store(url)).ship()
    other = Archiver(tmp_path / "other", units=3)
    other.write(0, rows=5)
    stranger = Shipper(other.log, open_store(url))
    stranger._there = set()
    with pytest.raises(BadArchive, match="another content"):
        stranger.ship()
    assert fetched(url, tmp_path / "a") == archiver.ids


def test_a_lost_disk_removes_nothing_from_the_store(archiver, url, tmp_path):
    """Files that vanished here without having been compacted stay there."""
    shipper = Shipper(archiver.log, open_store(url))
    shipper.ship()
    keep(archiver.log, APP, ms(1, 900), POLICY)
    for path in archiver.folder.glob("dt=2026-01-03/*"):
        path.unlink()
    shipper.ship()
    assert fetched(url, tmp_path / "a") == archiver.ids


def test_the_learner_ships_by_itself_and_outlives_the_stores_absence(archiver, url, tmp_path, monkeypatch):
    """It says so once, and goes on when the store is back."""
    settings = LearnerSettings(compact_every_s=0, archive_url=url, archive_ship_every_s=0.05)
    put, refused = obstore.put, []

    def refusing(*arguments, **options):
        if len(refused) < 3:
            refused.append(arguments)
            raise BaseError("away")
        return put(*arguments, **options)

    monkeypatch.setattr(log_shipping.obstore, "put", refusing)
    with keeping(archiver.log, APP, settings, lambda: ms(9)):
        until(lambda: len(names(url)) == 18)
    assert fetched(url, tmp_path / "a") == archiver.ids


def test_the_commands_ship_and_fetch(archiver, url, tmp_path):
    """As a user types them; a log of one application, into an empty folder."""
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "app.toml").write_text('name = "x"\npartitions = 2\n')
    (folder / "arms.json").write_text("[]")
    data = tmp_path / "data"
    (data / "log").mkdir(parents=True)
    archiver.log.rename(data / "log" / "x")
    options = ["--app", str(folder), "--data", str(data)]
    shipped = CliRunner().invoke(root(), ["log", "ship", url, *options])
    assert "shipped: 18 files" in shipped.output, shipped.output
    got = CliRunner().invoke(root(), ["log", "fetch", url, str(tmp_path / "there")])
    assert "fetched: 18 files" in got.output, got.output
    again = CliRunner().invoke(root(), ["log", "fetch", url, str(tmp_path / "there")])
    assert "fetched: 0 files" in again.output
    assert Counter(archiver.ids) == read_ids(dataset_folder(tmp_path / "there", "decisions", APP))


def test_no_address_of_an_object_store_is_one_line(archiver):
    """With what is legal."""
    with pytest.raises(BadArchive, match="s3://bucket/folder"):
        open_store("bucket/shop")
