"""The start: from the last checkpoint to the published version, by training again what was trained since."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, cast

import msgspec
import redis

from policy_learner.archive import archive_reader
from policy_learner.archive.archive_reader import LogReader
from policy_learner.archive.dead_letters import DeadLetters, refused_entries
from policy_learner.archive.parquet_sink import decode_versions
from policy_learner.archive.rows import VersionEntry
from policy_learner.errors import BadCheckpoint, CannotRebuild
from policy_learner.gate.gate_sample import GateSample
from policy_learner.join.catalogues import Catalogues
from policy_learner.join.positions import START, order
from policy_learner.join.source import Lesson, lessons_of
from policy_learner.join.streams import read_after, read_between
from policy_learner.learning.teaching import Teaching
from policy_learner.learning.trainers import Trainers
from policy_learner.learning.training import Training
from policy_learner.models import checkpoint
from policy_learner.models.checkpoint import Checkpoint
from policy_learner.rebase import rebases
from sidecar.contracts.application import Application
from sidecar.contracts.keys import Keys, weights, weights_log
from sidecar.contracts.layout import DataFolder
from sidecar.contracts.scripts.publish import Batch, decode_positions

log = logging.getLogger("sidearm.learner")

_LOG_READ = 1000
_COLD_START = (
    "`sidearm models restore` goes on from a backup; "
    "to begin with an untrained model instead, set SIDEARM_LEARNER_COLD_START=true"
)


class Published(NamedTuple):
    """What stands in the store."""

    version: int
    checksum: str
    positions: tuple[str, ...]


class Resumed(NamedTuple):
    """A model that is where the published version is."""

    training: Training
    version: int
    epoch: int
    """Of the learner that published it."""
    positions: list[str]
    """Everything up to here has had its effect, in every partition."""
    checkpoint: Checkpoint | None
    mismatch: bool
    """The rebuilt weights are not the published ones."""


@dataclass(frozen=True)
class Past:
    """Where a learner finds what happened before it."""

    client: redis.Redis
    application: Application
    data: DataFolder
    catalogues: Catalogues
    dead_letters: DeadLetters
    sample: GateSample | None = None
    """Filled by what is trained again."""
    trainers: Trainers | None = None
    """Makes the model's trainer; in this process by default."""

    @property
    def name(self) -> str:
        """Of the application."""
        return self.application.name

    @property
    def log_folder(self) -> Path:
        """Root of the application's datasets."""
        return self.data.log(self.name)


def resume(past: Past, cold_start: bool) -> Resumed:
    """Load the last checkpoint and train what was published since; nothing twice, nothing left out.

    Raises:
        BadCheckpoint: the checkpoint is of another model than ``app.toml`` describes.
        CannotRebuild: what was trained since is gone, and ``cold_start`` is not set.
    """
    published = read_published(past)
    try:
        saved = usable(checkpoint.load_latest(past.data.checkpoints(past.name)), past.application)
        entries = versions_between(past, saved.version if saved else 0, published.version)
        return train_again(past, saved, entries, published)
    except (CannotRebuild, BadCheckpoint) as error:
        if not cold_start:
            raise type(error)(f"{error}; {_COLD_START}") from error
        log.error(
            "cold start as told; what was learnt up to version %d is forgotten: %s", published.version, error
        )
        return begin_anew(past, published)


def begin_anew(past: Past, published: Published) -> Resumed:
    """An untrained model that goes on where the published one stood, with a checkpoint that says so."""
    folder, partitions = past.data.checkpoints(past.name), past.application.partitions
    positions = (*published.positions[:partitions], *[START] * (partitions - len(published.positions)))
    training = Training(
        past.application, past.catalogues, trained=positions, sample=past.sample, trainers=past.trainers
    )
    saved = Checkpoint(
        version=max(published.version, checkpoint.newest_version(folder)),
        epoch=0,
        examples=0,
        positions=positions,
        trained=positions,
        state=training.trainer.serialize(),
        calibration=training.calibrating.state(),
    )
    checkpoint.save(folder, saved, training.record(saved.version, saved.epoch).encoded)
    return Resumed(training, saved.version, saved.epoch, list(positions), saved, True)


def read_published(past: Past) -> Published:
    """What stands in the store; version 0 when nothing was ever published."""
    stored = past.client.hmget(weights(past.name), ["version", "checksum", "positions"])
    version, checksum, positions = cast("list[bytes | None]", stored)
    if version is None or checksum is None or positions is None:
        return Published(0, "", (START,) * past.application.partitions)
    return Published(int(version), checksum.decode(), decode_positions(positions))


def usable(saved: Checkpoint | None, application: Application) -> Checkpoint | None:
    """The checkpoint, if it is of as many partitions as are configured. Its state knows its own model.

    Raises:
        BadCheckpoint: of more, or fewer.
    """
    if saved is not None and len(saved.positions) != application.partitions:
        raise BadCheckpoint(
            f"checkpoint of version {saved.version} is of {len(saved.positions)} partitions, app.toml says"
            f" {application.partitions}: restore app.toml"
        )
    return saved


def versions_between(past: Past, after: int, until: int) -> list[VersionEntry]:
    """What was trained for each version after ``after``: from the store, and what it lacks, from the log.

    Not for those before the last base: nothing of them is left in the model.

    Raises:
        CannotRebuild: a version is in neither.
    """
    if after >= until:
        return []
    found = {entry.version: entry for entry in in_store(past) if after < entry.version <= until}
    if len(found) < until - after:
        archived = archive_reader.versions(past.log_folder, past.name)
        found = {entry.version: entry for entry in archived if after < entry.version <= until} | found
    first = max((entry.version for entry in found.values() if entry.base), default=after + 1)
    missing = [version for version in range(first, until + 1) if version not in found]
    if missing:
        raise CannotRebuild(
            f"version {until} is published, and what version {missing[0]} was trained on is neither in the "
            f"store nor in the log below {past.log_folder}: is this the right data folder?"
        )
    return [found[version] for version in range(first, until + 1)]


def train_again(
    past: Past, saved: Checkpoint | None, entries: Sequence[VersionEntry], published: Published
) -> Resumed:
    """From the checkpoint through every version since, in the recorded order."""
    training = _restored(past, saved)
    reader = LogReader(past.log_folder, past.name, past.application.partitions)
    floor = saved.positions if saved else training.trained
    is_told = False
    for entry in entries:
        if entry.base:
            training, floor = _taken_over(past, entry.base)
        for batch in entry.batches:
            _train_batch(past, training, reader, batch)
        if entry.base:
            training.examples = entry.examples
        # Until one comes out with a calibration: after it all do, and making a record takes its time.
        is_told = is_told or _is_calibrated(training, entry)
    version = max(published.version, saved.version if saved else 0)
    epoch = entries[-1].epoch if entries else saved.epoch if saved else 0
    mismatch = bool(entries) and _differs(training, entries[-1], published)
    positions = _later(floor, training.trained)
    told = f"checkpoint of version {saved.version}" if saved else "no checkpoint"
    log.info("resumed at version %d: %s, then %d versions trained again", version, told, len(entries))
    return Resumed(training, version, epoch, positions, saved, mismatch)


def taught_by(past: Past, reader: LogReader, batch: Batch) -> tuple[list[Teaching], list[Lesson]]:
    """What a stretch teaches: from the store if it has the whole of it yet, with its entries; or the log."""
    keys = Keys(past.name, batch.partition)
    entries = read_between(past.client, keys.examples, batch.first, batch.last)
    if not entries or (entries[0][0], entries[-1][0]) != (batch.first, batch.last):
        return reader.examples(batch.partition, batch.first, batch.last), []
    lessons = lessons_of(keys, entries, past.application.reward)
    return past.dead_letters.still_taught(lessons), lessons


def _train_batch(past: Past, training: Training, reader: LogReader, batch: Batch) -> None:
    taught, lessons = taught_by(past, reader, batch)
    trained = training.train(batch, taught)
    for entry, reason in refused_entries(lessons, trained.refused) if lessons else ():
        past.dead_letters.bury(Keys(past.name, batch.partition), entry, reason)


def _taken_over(past: Past, name: str) -> tuple[Training, tuple[str, ...]]:
    """A base as it was handed over, and up to where everything had had its effect on it."""
    state = rebases.load(past.log_folder, name).state
    training = Training.of(past.application, past.catalogues, state, past.sample, past.trainers)
    return training, state.positions


def _is_calibrated(training: Training, entry: VersionEntry) -> bool:
    record = training.record_as(entry.version, entry.epoch, entry.checksum)
    return record.checksum == entry.checksum and record.weights.header.calibration is not msgspec.UNSET


def _restored(past: Past, saved: Checkpoint | None) -> Training:
    if saved is None:
        return Training(past.application, past.catalogues, sample=past.sample, trainers=past.trainers)
    return Training.of(past.application, past.catalogues, saved, past.sample, past.trainers)


def _differs(training: Training, last: VersionEntry, published: Published) -> bool:
    """Whether the rebuilt weights are not the published ones, which is said either way."""
    rebuilt = training.record_as(last.version, last.epoch, last.checksum).checksum
    if rebuilt == published.checksum == last.checksum:
        log.info("weights of version %d rebuilt: equal to the published ones, bit for bit", last.version)
        return False
    log.error(
        "weights of version %d rebuilt DIFFER from the published ones (%s, published %s): going on from the "
        "rebuilt ones, which are what the log says; replay will name the first version that differs",
        last.version,
        rebuilt[:16],
        published.checksum[:16],
    )
    return True


def _later(one: Iterable[str], other: Iterable[str]) -> list[str]:
    return [max(pair, key=order) for pair in zip(one, other, strict=True)]


def in_store(past: Past) -> list[VersionEntry]:
    """The version log as far as the store has it."""
    entries: list[VersionEntry] = []
    stream, position = weights_log(past.name), START
    while read := read_after(past.client, stream, position, _LOG_READ):
        entries += decode_versions(read)
        position = read[-1][0]
    return entries
