"""What the learner holds between two steps of its loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from policy_learner.archive.archive_apart import ArchiveApart
from policy_learner.archive.dead_letters import DeadLetters
from policy_learner.archive.parquet_sink import Archive
from policy_learner.failpoints import reached
from policy_learner.gate.gate_sample import GateSample
from policy_learner.gate.gatekeeper import Gatekeeper
from policy_learner.join.catalogues import Catalogues, read_from_store
from policy_learner.join.leases import Free
from policy_learner.join.read_ahead import ReadAhead
from policy_learner.join.source import Chunk
from policy_learner.join.streams import Entry
from policy_learner.learning.tracing import TrainingTraces
from policy_learner.learning.trainers import Trainers
from policy_learner.learning.training import Training
from policy_learner.learning.warm_start import begin_warm
from policy_learner.models.backups import Backups
from policy_learner.models.epochs import take_later_epoch
from policy_learner.models.history import History
from policy_learner.models.publish import Publisher
from policy_learner.models.rebuild import Past, resume
from policy_learner.promotion.promoter import Promoter
from policy_learner.rebase.nightly import Nightly
from policy_learner.rebase.rebasing import Rebasing
from policy_learner.settings import LearnerSettings
from policy_learner.status import Status
from policy_learner.timing import Clock, Every
from sidecar.contracts.application import Application
from sidecar.contracts.contests import Shown
from sidecar.contracts.course import EVERY_S
from sidecar.contracts.keys import Keys
from sidecar.contracts.layout import DataFolder
from sidecar.contracts.scripts.publish import Batch, Publication
from sidecar.contracts.store import Scripts


class Deps(NamedTuple):
    """What is given to the learner."""

    application: Application
    settings: LearnerSettings
    data: DataFolder
    scripts: Scripts
    clock: Clock
    show: Callable[[Status, Shown], None] = lambda status, shown: None
    """Told every status, and what is known of the models, beside the store."""
    trainers: Trainers | None = None
    """Makes the model's trainer; in this process by default."""
    nightly: Nightly | None = None
    """Trains a base once a day, if anybody does."""
    traces: TrainingTraces | None = None
    """Tells of traced examples, if anybody looks."""


_TELL_EVERY_S = 0.2


class Timers(NamedTuple):
    """When what is done next."""

    publish: Every
    archive: Every
    tell: Every
    """How far the learner is, while it is behind, to an archiver in a process of its own."""
    checkpoint: Every
    trim: Every
    status: Every
    turn: Every
    """The next round where partitions take turns (``turns.py``)."""
    course: Every
    """The next point of what the models earned."""


@dataclass
class Progress:
    """How far the learner is."""

    version: int
    """Last one published."""
    version_epoch: int
    """Epoch of the learner that published it."""
    positions: list[str]
    """Everything up to here was read and, where it teaches anything, trained on; one for each partition."""
    begun: list[Chunk] = field(default_factory=list)
    """Handed to the trainer, and not known to be learnt."""
    ahead: int = 0
    """Of these, how many were left with it on purpose, so that it has something to do meanwhile."""
    batches: list[Batch] = field(default_factory=list)
    """Trained on since the last version, in order."""
    since: int = 0
    """Effects in ``batches``: examples trained on, and seen by the metrics."""
    judged: int = 0
    """Effects in ``batches`` when the gate last refused: as they are, it need not look again."""
    entries: int = 0
    """Read for the last of these batches."""
    turn: int = 0
    """The partition that is read, where they take turns (``turns.py``)."""
    more: bool = False
    """The last read brought as much of a partition as is learnt in one go: more waits."""
    refused: list[tuple[int, Entry, str]] = field(default_factory=list)
    """Partition, entry and reason of what could not be learnt and is not with the dead letters yet."""
    outstanding: Publication | None = None
    """Sent, and not known to stand."""
    checkpoint_version: int = 0
    checkpoint_positions: list[str] | None = None
    """None: there is no checkpoint yet."""


@dataclass
class Figures:
    """What only the status needs."""

    archived_rows: int = 0
    gate_refusals: int = 0
    rebuild_mismatch: bool = False
    step_error: str = ""
    """Why the last step failed; empty when it did not."""
    gate_error: str = ""
    """Why the last version was refused; empty when it was not."""
    archive_error: str = ""
    """Why the last files could not be written; empty when they were."""
    shown_examples: int = 0
    """Examples at the status before."""
    shown_at: float = 0.0


@dataclass
class Learner:
    """One learner of one application."""

    deps: Deps
    partitions: list[Keys]
    """The keys of every partition."""
    free: Free
    """Those where no joiner closes decisions."""
    ahead: ReadAhead
    """Of the example streams."""
    epoch: int
    training: Training
    gatekeeper: Gatekeeper
    publisher: Publisher
    history: History
    backups: Backups
    rebasing: Rebasing
    dead_letters: DeadLetters
    archive: Archive
    promoter: Promoter
    progress: Progress
    timers: Timers
    figures: Figures


def open_learner(deps: Deps) -> Learner:
    """Become the learner: fence off earlier ones, then resume where the published version stands.

    Raises:
        BadCheckpoint: the last checkpoint is of another model.
        CannotRebuild: examples behind the published version are gone.
        StoreError: the store is away.
    """
    application, settings, clock = deps.application, deps.settings, deps.clock
    client, folder = deps.scripts.client, deps.data.log(application.name)
    epoch = take_later_epoch(client, application.name, deps.data.checkpoints(application.name))
    reached("epoch taken")
    catalogues = Catalogues(read_from_store(client, application.name, folder))
    partitions = [Keys(application.name, partition) for partition in range(application.partitions)]
    dead_letters = DeadLetters(client, partitions)
    sample = GateSample(settings.gate_window_examples, settings.gate_compared, application.model)
    past = Past(client, application, deps.data, catalogues, dead_letters, sample, deps.trainers)
    begin_warm(past, settings.warm_start)
    resumed = resume(past, settings.cold_start)
    reached("resumed")
    training, saved = resumed.training, resumed.checkpoint
    gatekeeper = Gatekeeper(settings, application.exploration, sample)
    # What was read before the first version may have taught nothing: that is a state, and no model.
    begins_warm = saved is not None and not resumed.version and bool(training.trainer.weights_values().any())
    if training.examples or begins_warm:
        gatekeeper.begin(training.record(resumed.version, resumed.epoch).weights)
    archive = _archive(deps, catalogues, dead_letters)
    progress = Progress(
        version=resumed.version,
        version_epoch=resumed.epoch,
        positions=resumed.positions,
        checkpoint_version=saved.version if saved else 0,
        checkpoint_positions=list(saved.positions) if saved else None,
    )
    publisher = Publisher(Every(settings.base_every_s, clock))
    if begins_warm:  # the first version is what it begins with
        progress.outstanding = publisher.publication_of(training.record(1, epoch), [])
    figures = Figures(rebuild_mismatch=resumed.mismatch, shown_examples=training.examples, shown_at=clock())
    return Learner(
        deps,
        partitions,
        Free(client, partitions, Every(settings.lease_s / 3, clock)),
        ReadAhead(client),
        epoch,
        training,
        gatekeeper,
        publisher,
        History(deps.scripts, application.name, settings, Every(settings.history_every_s, clock)),
        Backups(
            deps.data.checkpoints(application.name),
            application.name,
            settings,
            Every(settings.backup_every_s, clock),
        ),
        Rebasing(past, deps.data.checkpoints(application.name), settings.read_batch),
        dead_letters,
        archive,
        _promoter(deps, epoch, progress.positions),
        progress,
        _timers(settings, clock),
        figures,
    )


def _promoter(deps: Deps, epoch: int, positions: Sequence[str]) -> Promoter:
    settings = deps.settings
    promoter = Promoter(
        deps.scripts, deps.application, epoch, settings.contests_every_s, deps.clock, positions
    )
    promoter.begin(settings.read_batch)
    return promoter


def _archive(deps: Deps, catalogues: Catalogues, dead_letters: DeadLetters) -> Archive:
    application, settings, client = deps.application, deps.settings, deps.scripts.client
    folder = deps.data.log(application.name)
    if settings.archiver == "apart":
        return ArchiveApart(client, application, folder, settings, catalogues, lambda: dead_letters.waiting)
    archive = Archive(
        client,
        application,
        folder,
        settings,
        catalogues,
        dead_letters.refuses,
    )
    archive.begin()
    return archive


def _timers(settings: LearnerSettings, clock: Clock) -> Timers:
    return Timers(
        publish=Every(settings.publish_every_s, clock),
        archive=Every(settings.archive_every_s, clock),
        tell=Every(_TELL_EVERY_S, clock),
        checkpoint=Every(settings.checkpoint_every_s, clock),
        trim=Every(settings.trim_every_s, clock),
        status=Every(settings.status_every_s, clock),
        turn=Every(0.0, clock),
        course=Every(EVERY_S, clock),
    )
