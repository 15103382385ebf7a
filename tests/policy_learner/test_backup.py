"""Backups: whole or none, in a folder or an object store; a new platform goes on from one, bit for bit."""

from __future__ import annotations

import shutil

import httpx
import msgspec
import pyarrow.parquet as pq
import pytest
import redis
from typer.testing import CliRunner

from decision_service.cli.main import root
from policy_learner.errors import BadBackup, BadCheckpoint, CannotRebuild
from policy_learner.loop import drain, step
from policy_learner.models import checkpoint
from policy_learner.models.backup import MANIFEST, WEIGHTS, Place, back_up
from policy_learner.models.replay import replay
from policy_learner.models.restore import restore
from policy_learner.report import report
from policy_learner.status import read as read_status
from sidecar.contracts import keys as app_keys
from sidecar.contracts.deltas import read_newest
from sidecar.contracts.layout import DataFolder
from tests.policy_learner.kept_shop import Shop
from tests.waiting import until


@pytest.fixture
def shop(store, data_folder, tmp_path):
    return Shop(store, data_folder, tmp_path / "app")


def checkpoints(shop):
    return shop.data.checkpoints("world")


def learnt(shop, turns=3, count=10):
    """A platform with some versions, stopped in order."""
    learner = shop.learner()
    for _ in range(turns):
        shop.learn(learner, count)
    drain(learner, lambda: True)
    return learner


def backed_up(shop, where):
    place = Place(str(where), "world")
    return place, back_up(checkpoints(shop), "world", place)[0]


def new_platform(shop, tmp_path, keep_log=False):
    """Another machine: an empty store, an empty data folder; perhaps the old log."""
    skews = [*[keys.skew for keys in shop.partitions], app_keys.app_skew("world")]
    passed = shop.client.mget(skews)
    shop.client.flushall()
    shop.client.mset(dict(zip(skews, passed, strict=True)))  # time goes on
    old, shop.data = shop.data, DataFolder(tmp_path / "new")
    if keep_log:
        shutil.copytree(old.log("world"), shop.log)
    again = Shop(shop.client, shop.data, shop.folder)
    again._count = shop._count
    return again


def test_a_new_platform_goes_on_from_a_backup_and_replays_bit_for_bit(shop, tmp_path):
    """Same weights, served at once; version and examples go on; the new log replays from the backup on."""
    learnt(shop)
    before = read_newest(shop.client, "world")
    place, manifest = backed_up(shop, tmp_path / "backups")

    shop = new_platform(shop, tmp_path)
    done = restore(shop.scripts, shop.application, shop.data, place.read(manifest))
    assert (done.version, done.trained_again, done.published) == (manifest.version, 0, True)
    assert read_newest(shop.client, "world").checksum == before.checksum
    assert replay(shop.application, shop.data).clean

    learner = shop.learner()
    assert learner.training.record(manifest.version, manifest.epoch).checksum == before.checksum
    assert not learner.figures.rebuild_mismatch
    assert learner.epoch > manifest.epoch
    for _ in range(2):
        shop.learn(learner, 10)
    drain(learner, lambda: True)
    header = read_newest(shop.client, "world").weights.header
    assert (header.examples, header.version) == (50, manifest.version + 2)
    result = replay(shop.application, shop.data)
    assert result.clean, result.told
    assert (
        result.counts["decisions"] == result.counts["scored"] == 20
    )  # the first ten by the backup's weights
    assert not shop.learner().figures.rebuild_mismatch


def test_a_model_that_was_restored_equals_one_that_never_stopped(shop, tmp_path, store):
    """The same decisions after the backup, with and without the move: the same bits."""
    learnt(shop)
    place, manifest = backed_up(shop, tmp_path / "backups")
    start = next(shop._count)
    results = []
    for moved in (False, True):
        if moved:
            shop = new_platform(shop, tmp_path)
            restore(shop.scripts, shop.application, shop.data, place.read(manifest))
        shop._count = iter(range(start + 1, start + 1000))
        learner = shop.learner()
        shop.learn(learner, 20)
        results.append(learner.training.trainer.weights_values().tobytes())
        assert learner.training.examples == 50
    assert results[0] == results[1]


def test_what_was_trained_after_the_backup_is_trained_again_from_the_log(shop, tmp_path):
    """Backup, two more versions, the store is lost but the log is not: the last version is published."""
    learnt(shop)
    place, manifest = backed_up(shop, tmp_path / "backups")
    learnt(shop, turns=2)
    last = read_newest(shop.client, "world")

    shop = new_platform(shop, tmp_path, keep_log=True)
    done = restore(shop.scripts, shop.application, shop.data, place.read(manifest))
    assert (done.version, done.trained_again) == (last.weights.header.version, 2)
    assert read_newest(shop.client, "world").checksum == last.checksum
    learner = shop.learner()
    shop.learn(learner, 10)
    drain(learner, lambda: True)
    assert read_newest(shop.client, "world").weights.header.examples == 60
    result = replay(shop.application, shop.data)
    assert result.clean, result.told
    assert result.counts["decisions"] == 60


def test_a_learner_whose_disk_is_lost_goes_on_beside_its_store(shop, tmp_path):
    """The store is left as it is; what came after the backup is in its streams."""
    learner = learnt(shop)
    place, manifest = backed_up(shop, tmp_path / "backups")
    learner = shop.learner()
    shop.learn(learner, 10)
    published = read_newest(shop.client, "world")
    shutil.rmtree(checkpoints(shop))
    done = restore(shop.scripts, shop.application, shop.data, place.read(manifest))
    assert (done.version, done.published) == (published.weights.header.version, False)
    again = shop.learner()
    assert not again.figures.rebuild_mismatch
    assert again.training.examples == published.weights.header.examples == 40


def test_positions_stay_behind_a_clock_that_is_late(shop, tmp_path):
    """The new machine's clock is behind the old one's by an hour: nothing new is taken for learnt."""
    learnt(shop)
    place, manifest = backed_up(shop, tmp_path / "backups")
    shop = new_platform(shop, tmp_path, keep_log=True)
    restore(shop.scripts, shop.application, shop.data, place.read(manifest))
    shop.move(-3_600_000)
    learner = shop.learner()
    shop.decide(10)
    for keys in shop.partitions:
        shop.client.incrby(keys.skew, 2 * 3_600_000 + 400_000)  # past the horizon again
    shop.client.incrby(app_keys.app_skew("world"), 2 * 3_600_000 + 400_000)
    shop.now_s += 2
    while step(learner):
        pass
    drain(learner, lambda: True)
    assert learner.training.examples == 40
    assert replay(shop.application, shop.data).clean


def test_nothing_is_destroyed_by_a_restore(shop, tmp_path):
    """A data folder with a checkpoint, a store of another life: refused, and all is as before."""
    learnt(shop)
    place, manifest = backed_up(shop, tmp_path / "backups")
    backup = place.read(manifest)
    with pytest.raises(BadBackup, match="holds a checkpoint"):
        restore(shop.scripts, shop.application, shop.data, backup)
    shutil.rmtree(checkpoints(shop))
    shop.client.hset(app_keys.weights("world"), "version", 1)
    before = shop.client.hgetall(app_keys.weights("world"))
    with pytest.raises(BadBackup, match="older than the backup's"):
        restore(shop.scripts, shop.application, shop.data, backup)
    assert shop.client.hgetall(app_keys.weights("world")) == before
    assert not list(checkpoints(shop).glob("*.checkpoint"))


def test_a_backup_of_another_model_is_refused(shop, tmp_path):
    """Other bits: named; nothing was written."""
    learnt(shop)
    place, manifest = backed_up(shop, tmp_path / "backups")
    shop = new_platform(shop, tmp_path)
    model = msgspec.structs.replace(shop.application.model, bits=12)
    application = msgspec.structs.replace(shop.application, model=model)
    with pytest.raises(BadCheckpoint, match='"bits":12'):
        restore(shop.scripts, application, shop.data, place.read(manifest))
    assert not shop.client.exists(app_keys.weights("world"))
    assert not checkpoints(shop).exists()


@pytest.mark.parametrize("name", ["checkpoint", WEIGHTS])
@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b"", lambda b: bytes([b[0] ^ 1]) + b[1:]])
def test_a_damaged_backup_is_refused(shop, tmp_path, name, damage):
    """One byte is enough."""
    learnt(shop, turns=1)
    place, manifest = backed_up(shop, tmp_path / "backups")
    path = tmp_path / "backups" / "world" / manifest.name / name
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(BadBackup, match="not what the manifest says"):
        place.read(manifest)


def test_a_backup_that_was_cut_short_is_none(shop, tmp_path):
    """No manifest, or half of one: the one before is the newest; done again, it is whole."""
    learnt(shop, turns=1)
    place, first = backed_up(shop, tmp_path / "backups")
    learnt(shop, turns=1)
    _, second = backed_up(shop, tmp_path / "backups")
    assert place.manifests() == [first, second]
    path = tmp_path / "backups" / "world" / second.name / MANIFEST
    whole = path.read_bytes()
    for torn in (whole[: len(whole) // 2], b"", b"{}", whole.replace(b'"world"', b'"other"')):
        path.write_bytes(torn)
        assert place.manifests() == [first]
    path.unlink()
    assert place.manifests() == [first]
    assert back_up(checkpoints(shop), "world", place)[1]
    assert place.manifests() == [first, second]
    assert not back_up(checkpoints(shop), "world", place)[1]


def test_only_so_many_are_kept(shop, tmp_path):
    """The newest ones; of another application none is touched."""
    made = []
    for _ in range(4):
        learnt(shop, turns=1)
        place, manifest = backed_up(shop, tmp_path / "backups")
        made.append(manifest)
    other = tmp_path / "backups" / "other" / "1-x"
    other.mkdir(parents=True)
    assert place.thin(2) == made[:2]
    assert place.manifests() == made[2:]
    assert other.exists()


def test_the_learner_backs_up_by_itself(shop, tmp_path):
    """As soon as there is a checkpoint, then at every interval; so many stay."""
    where = tmp_path / "backups"
    shop.settings = msgspec.structs.replace(
        shop.settings, backup_to=str(where), backup_every_s=3.0, backup_keep=2, checkpoint_every_s=1.0
    )
    learner, place, seen = shop.learner(), Place(str(where), "world"), []
    for _ in range(12):
        shop.learn(learner, 4)  # two seconds
        until(lambda: not learner.backups.is_going_on)
        seen += [one.version for one in place.manifests() if one.version not in seen]
    assert 4 <= len(seen) <= 8
    assert [one.version for one in place.manifests()] == seen[-2:]
    assert learner.backups.error == ""


def test_a_backup_that_fails_is_said_and_learning_goes_on(shop, tmp_path):
    """The place is a file: in the status, until it works again."""
    where = tmp_path / "backups"
    where.write_text("in the way")
    shop.settings = msgspec.structs.replace(
        shop.settings, backup_to=str(where), backup_every_s=1.0, checkpoint_every_s=1.0
    )
    learner = shop.learner()
    for _ in range(3):
        shop.learn(learner, 4)
        until(lambda: not learner.backups.is_going_on)
    report(learner)
    assert "no backup to" in read_status(shop.client, "world").last_error
    assert learner.training.examples == 12
    where.unlink()
    shop.learn(learner, 4)
    until(lambda: not learner.backups.is_going_on)
    assert learner.backups.error == ""


def test_without_a_checkpoint_there_is_nothing_to_back_up(shop, tmp_path):
    """Said, with when there will be one."""
    with pytest.raises(BadBackup, match="no checkpoint"):
        back_up(checkpoints(shop), "world", Place(str(tmp_path), "world"))


@pytest.mark.parametrize("where", ["gopher://x", "ftp://a/b"])
def test_an_address_that_is_none_is_named(where):
    """One line."""
    with pytest.raises(BadBackup, match="no folder and no address"):
        Place(where, "world")


ON = "Running on http://127.0.0.1:"


@pytest.fixture
def bucket(monkeypatch, processes):
    """An empty bucket of a server that speaks S3, as an address."""
    process = processes.start("moto.server", "-p", "0", "-H", "127.0.0.1")
    process.wait_until(lambda: ON in process.output())
    port = process.output().partition(ON)[2].split()[0]
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    url = f"http://127.0.0.1:{port}/models"
    process.wait_until(lambda: _made(url), 60.0)
    return f"s3://models/nightly?endpoint_override=127.0.0.1:{port}&scheme=http&region=us-east-1"


def _made(url):
    try:
        return httpx.put(url).status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.slow
def test_an_object_store_is_a_place_like_any_other(shop, tmp_path, bucket):
    """Written, listed, thinned, read; and a platform goes on from there."""
    made = []
    for _ in range(3):
        learnt(shop, turns=1)
        place, manifest = backed_up(shop, bucket)
        made.append(manifest)
    assert not back_up(checkpoints(shop), "world", place)[1]
    assert place.manifests() == made
    assert place.thin(2) == made[:1]
    assert Place(bucket, "world").manifests() == made[1:]
    before = read_newest(shop.client, "world").checksum
    shop = new_platform(shop, tmp_path)
    restore(shop.scripts, shop.application, shop.data, place.read(made[-1]))
    assert read_newest(shop.client, "world").checksum == before
    assert not shop.learner().figures.rebuild_mismatch


@pytest.mark.slow
def test_an_object_store_that_is_away_is_one_line(shop, bucket, processes):
    """The address is named; nothing hangs."""
    learnt(shop, turns=1)
    processes.started[-1].kill()
    with pytest.raises(BadBackup, match="s3://models"):
        backed_up(shop, bucket)


def test_a_damaged_base_in_the_log_is_said_by_the_replay(shop, tmp_path):
    """It is part of the log then."""
    learnt(shop)
    place, manifest = backed_up(shop, tmp_path / "backups")
    shop = new_platform(shop, tmp_path)
    restore(shop.scripts, shop.application, shop.data, place.read(manifest))
    path = shop.log / "models" / f"{manifest.version}.checkpoint"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BadCheckpoint, match="no whole checkpoint"):
        replay(shop.application, shop.data)


def test_the_commands_say_what_they_did(shop, tmp_path, store_url):
    """Backup, list, restore on a new platform, learn on."""
    learnt(shop)
    where = tmp_path / "backups"
    assert "30 examples: backed up" in shop.run("models", "backup", "--to", where, url=store_url).output
    again = shop.run("models", "backup", "--to", where, "--keep", "3", url=store_url)
    assert "is there already" in again.output
    listed = CliRunner().invoke(root(), ["models", "backups", str(where), "--app", str(shop.folder)])
    assert " 30 " in listed.output, listed.output
    shop = new_platform(shop, tmp_path)
    missing = shop.run("models", "restore", "--from", where, "--version", "77", url=store_url)
    assert "no backup of 'world' of 77 version" in str(missing.exception)
    result = shop.run("models", "restore", "--from", where, url=store_url)
    assert result.exit_code == 0, result.output
    assert "is published: start the learner" in result.output
    listed = shop.run("models", "list", url=store_url).output
    assert "restored" in listed
    learner = shop.learner()
    shop.learn(learner, 10)
    assert learner.training.examples == 40


def test_a_log_that_does_not_lead_there_is_no_way(shop, tmp_path):
    """The version after the backup's is missing in the log that is left."""
    learnt(shop)
    place, manifest = backed_up(shop, tmp_path / "backups")
    learnt(shop, turns=2)
    shop = new_platform(shop, tmp_path, keep_log=True)
    files = sorted(shop.log.glob("versions/*/*/*.parquet"))
    kept = [path for path in files if manifest.version + 1 not in pq.read_table(path)["version"].to_pylist()]
    if kept == files:
        pytest.fail("the version after the backup's is in no file")
    for path in set(files) - set(kept):
        table = pq.ParquetFile(path).read()
        rows = [v != manifest.version + 1 for v in table["version"].to_pylist()]
        pq.write_table(table.filter(rows), path)
    with pytest.raises(CannotRebuild, match=f"version {manifest.version + 1} was trained on"):
        restore(shop.scripts, shop.application, shop.data, place.read(manifest))
    assert not shop.client.exists(app_keys.weights("world"))
    assert isinstance(shop.client, redis.Redis)
    assert checkpoint.load_latest(checkpoints(shop)) is None
