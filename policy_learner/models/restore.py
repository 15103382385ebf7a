"""From a backup to a platform that goes on: checkpoint and weights in their places, positions still ahead.

What is left of the old platform is used: the store (then the learner goes on from what is published there),
or the log (then what was trained after the backup is trained again, from Parquet).
"""

from __future__ import annotations

import hashlib
import logging
from typing import NamedTuple, cast

import msgspec
import redis

from policy_learner.archive import chain
from policy_learner.archive.archive_reader import versions
from policy_learner.archive.dead_letters import DeadLetters
from policy_learner.archive.parquet_sink import DATASETS
from policy_learner.errors import BadBackup
from policy_learner.join.catalogues import Catalogues, read_from_store
from policy_learner.join.positions import ms_of
from policy_learner.learning.records import Record
from policy_learner.learning.training import Training
from policy_learner.models import checkpoint
from policy_learner.models.backup import Backup
from policy_learner.models.checkpoint import Checkpoint
from policy_learner.models.rebuild import (
    Past,
    Published,
    read_published,
    train_again,
    usable,
    versions_between,
)
from policy_learner.rebase.bases import save_base
from sidecar.contracts import keys
from sidecar.contracts.application import Application
from sidecar.contracts.keys import Keys
from sidecar.contracts.layout import DataFolder
from sidecar.contracts.models import info_of
from sidecar.contracts.scripts.models import keep_call
from sidecar.contracts.store import Scripts

log = logging.getLogger("sidearm.learner")


class Restored(NamedTuple):
    """What came of it."""

    version: int
    """The one that is published now, or was already."""
    trained_again: int
    """Versions after the backup that the log led to."""
    published: bool
    """False when the store held a version as new, which was left as it is."""


class _State(NamedTuple):
    saved: Checkpoint
    record: Record


def restore(scripts: Scripts, application: Application, data: DataFolder, backup: Backup) -> Restored:
    """Put a backup into an empty data folder, or one that has only the log, and into an empty store.

    Run it before the learner is started.

    Raises:
        BadBackup: the data folder or the store holds something that this would destroy; or the backup is of
            another model; nothing was changed.
        BadCheckpoint: the backup's model is not that of ``app.toml``; nothing was changed.
        CannotRebuild: what was trained after the backup cannot be trained again from the log.
        StoreError, OSError: call again.
    """
    past = _past(scripts.client, application, data)
    published = read_published(past)
    _check_place(past, published, backup)
    state = _checked(past, backup)
    entries = list(versions(past.log_folder, past.name))
    ahead = [entry for entry in entries if entry.version > state.saved.version]
    if ahead and not published.version:
        state = _caught_up(past, state)
    checkpoint.save(data.checkpoints(past.name), state.saved, state.record.encoded)
    if not entries:
        save_base(past.log_folder, state.saved)
    if published.version:
        return Restored(published.version, 0, False)
    _set_clocks(past, state.saved)
    _put(scripts, past, state)
    return Restored(state.saved.version, len(ahead), True)


def _past(client: redis.Redis, application: Application, data: DataFolder) -> Past:
    partitions = [Keys(application.name, partition) for partition in range(application.partitions)]
    catalogues = Catalogues(read_from_store(client, application.name, data.log(application.name)))
    return Past(client, application, data, catalogues, DeadLetters(client, partitions))


def _check_place(past: Past, published: Published, backup: Backup) -> None:
    there = checkpoint.newest_version(past.data.checkpoints(past.name))
    if there:
        raise BadBackup(
            f"{past.data.checkpoints(past.name)} holds a checkpoint of version {there} already: a backup is "
            "restored to where there is none; move that folder away if you mean it"
        )
    if 0 < published.version < backup.manifest.version:
        raise BadBackup(
            f"the store holds version {published.version}, older than the backup's {backup.manifest.version}:"
            " it is not the store that this backup was made beside"
        )


def _checked(past: Past, backup: Backup) -> _State:
    """The trainer's state really is that of the weights beside it, bit for bit."""
    saved = backup.checkpoint
    usable(saved, past.application)
    checksum = hashlib.sha256(backup.record).hexdigest()
    training = Training.of(past.application, past.catalogues, saved)
    record = training.record_as(saved.version, saved.epoch, checksum)
    if record.encoded != backup.record:
        raise BadBackup(f"the backup's state of version {saved.version} does not give the weights beside it")
    return _State(saved, record)


def _caught_up(past: Past, state: _State) -> _State:
    """The state as of the last version in the log, trained again from Parquet."""
    last = list(versions(past.log_folder, past.name))[-1]
    between = versions_between(past, state.saved.version, last.version)
    published = Published(last.version, last.checksum, state.saved.trained)
    resumed = train_again(past, state.saved, between, published)
    if resumed.mismatch:
        raise BadBackup(
            f"version {last.version}, trained again from the log, is not what was published: move the log "
            f"{past.log_folder} away to go on from version {state.saved.version}"
        )
    training = resumed.training
    saved = training.saved(last.version, last.epoch, resumed.positions)
    return _State(saved, training.record_as(saved.version, saved.epoch, last.checksum))


def _set_clocks(past: Past, saved: Checkpoint) -> None:
    """No new entry may get a position from before the restored ones: it would be taken for learnt."""
    folders = [chain.dataset_folder(past.log_folder, dataset, past.name) for dataset in DATASETS]
    for partition, position in enumerate(saved.positions):
        ends = [chain.end_of(folder, partition) for folder in folders[:-1]]
        _forward(past.client, Keys(past.name, partition).counters, max(map(ms_of, [position, *ends])) + 1)
    _forward(past.client, keys.weights(past.name), ms_of(chain.end_of(folders[-1], 0)) + 1)


def _forward(client: redis.Redis, key: str, clock_ms: int) -> None:
    stored = cast("bytes | None", client.hget(key, "clock_ms"))
    if int(stored or 0) < clock_ms:
        client.hset(key, "clock_ms", str(clock_ms))


def _put(scripts: Scripts, past: Past, state: _State) -> None:
    """Publish it, without an entry in the version log: it was there, in the log of the old platform."""
    header, record = state.record.weights.header, state.record
    pipe = scripts.client.pipeline(transaction=True)
    pipe.hset(
        keys.weights(past.name),
        mapping={
            "record": record.encoded,
            "version": header.version,
            "epoch": header.epoch,
            "positions": msgspec.json.encode(header.positions),
            "checksum": record.checksum,
        },
    )
    pipe.set(keys.epoch(past.name), header.epoch)
    pipe.xadd(keys.model_notices(past.name), {"restored": str(header.version)})
    pipe.execute()
    checksum = hashlib.sha256(record.encoded).hexdigest()
    info = info_of(record.weights, len(record.encoded), checksum, note="restored")
    scripts.run(keep_call(past.name, info, record.encoded))
