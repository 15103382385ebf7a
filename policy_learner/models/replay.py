"""Replay: everything in the log is done again, and every bit that comes out another way is a mismatch.

One forward pass. Version after version is trained in the recorded order, and its record compared with the
checksum that was published; then each decision that this version served is scored again, its pmf computed
again, and its arm drawn again with the logged seed. Only one version of the weights is held at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain as chained
from pathlib import Path

from policy_learner.archive import chain
from policy_learner.archive.archive_reader import LogReader, versions
from policy_learner.archive.chain import dataset_folder
from policy_learner.archive.rows import VersionEntry
from policy_learner.errors import BrokenChain, CannotRebuild
from policy_learner.join.catalogues import Catalogues, read_from_log
from policy_learner.learning.training import Training
from policy_learner.models.deleted import gone_of
from policy_learner.models.imported import ImportedModels
from policy_learner.models.replayed import Replayed
from policy_learner.models.replayed_bases import ReplayedBases
from policy_learner.models.row_checks import check_base, check_row
from policy_learner.models.row_index import Index
from policy_learner.rebase import rebases
from policy_learner.rebase.bases import load_base
from sidecar.contracts.application import Application
from sidecar.contracts.errors import BadWeights
from sidecar.contracts.layout import DataFolder
from sidecar.contracts.models import name_of
from sidecar.contracts.weights import Weights
from sidecar.policy.held_arms import ArmTables

Tick = Callable[[int], None]
"""Told how many more decisions were replayed."""


def replay(
    application: Application, data: DataFolder, index: Index | None = None, tick: Tick = lambda done: None
) -> Replayed:
    """Do the whole log again.

    Args:
        application: whose.
        data: where.
        index: of its decisions, if it was made before.
        tick: told how many more decisions were replayed.

    Raises:
        BadArchive, BrokenChain: a file cannot be read at all.
    """
    log, result = data.log(application.name), Replayed()
    _check_chains(log, application, result)
    index = index or Index(log, application)
    catalogues, tables, bases = Catalogues(read_from_log(log)), ArmTables(), ReplayedBases(log)

    def check(version: int, weights: Weights | None) -> None:
        deleted = weights is None and bool(result.counts["deleted"])
        for rows in index.rows(version):
            for row in rows:
                check_row(row, weights, catalogues, tables, result, deleted)
                check_base(row.event, bases, catalogues, tables, result)
            tick(len(rows))

    check(0, None)
    replayed = {0}
    for version, weights in rebuilt(application, log, catalogues, result):
        replayed.add(version)
        check(version, weights)
    imported = ImportedModels(log)
    for version in sorted(set(imported.versions()) & index.versions):
        replayed.add(version)
        check(version, _imported(imported, version, result))
    for version in sorted(one for one in index.versions if one < 0):
        replayed.add(version)
        _check_foreign(index, version, catalogues, tables, result, tick)
    for version in index.versions - replayed:
        for rows in index.rows(version):
            for row in rows:
                result.counts["decisions"] += 1
                result.mismatch(
                    "score",
                    row.decision_id,
                    f"version {version} is not in the version log (yet, if the platform runs)",
                )
            tick(len(rows))
    return result


def rebuilt(
    application: Application, log: Path, catalogues: Catalogues, result: Replayed
) -> Iterator[tuple[int, Weights | None]]:
    """Every version of the weights, trained again; None where that is not possible any more.

    In the log of a platform that was restored from a backup, the first one is the backup's. Where a base was
    handed over, it begins anew: what was deleted before that is not missed.
    """
    reader = LogReader(log, application.name, application.partitions)
    training = Training(application, catalogues)
    gone = gone_of(log, application.name)
    entries = versions(log, application.name)
    first = next(entries, None)
    base = load_base(log, first and first.version)
    if base is not None:
        training = Training.of(application, catalogues, base)
        if base.version:  # 0: what it began warm with, which served nothing under that number
            yield base.version, training.record(base.version, base.epoch).weights
    lost = False
    for entry in chained([first] if first else [], entries):
        lost = (lost and not entry.base) or gone.covers(entry)
        if lost:
            result.counts["deleted"] += 1
            yield entry.version, None
            continue
        result.counts["versions"] += 1
        try:
            if entry.base:
                training = Training.of(application, catalogues, rebases.load(log, entry.base).state)
            yield entry.version, _next_version(training, reader, entry, result)
        except (CannotRebuild, BadWeights) as error:
            result.mismatch("weights", f"version {entry.version}", str(error))
            yield entry.version, None


def _next_version(training: Training, reader: LogReader, entry: VersionEntry, result: Replayed) -> Weights:
    for batch in entry.batches:
        trained = training.train(batch, reader.examples(batch.partition, batch.first, batch.last))
        result.counts["examples"] += trained.examples
    if entry.base:
        training.examples = entry.examples
    record = training.record_as(entry.version, entry.epoch, entry.checksum)
    if record.checksum != entry.checksum:
        detail = (
            f"sha256 of the rebuilt record is {record.checksum[:16]}…, published was {entry.checksum[:16]}…"
        )
        result.mismatch("weights", f"version {entry.version}", detail)
    return record.weights


def _imported(imported: ImportedModels, version: int, result: Replayed) -> Weights | None:
    try:
        return imported.read(version)
    except BadWeights as error:
        result.mismatch("weights", f"version {name_of(version)}", str(error))
        return None


def _check_foreign(
    index: Index,
    version: int,
    catalogues: Catalogues,
    tables: ArmTables,
    result: Replayed,
    tick: Callable[[int], None],
) -> None:
    """What another model container said cannot be had again; that the arm was drawn from it can."""
    for rows in index.rows(version):
        for row in rows:
            check_row(row, None, catalogues, tables, result, deleted=True)
        result.counts["foreign"] += len(rows)
        tick(len(rows))


def _check_chains(log: Path, application: Application, result: Replayed) -> None:
    """Every file begins where the one before it ended."""
    lanes = [("decisions", p) for p in range(application.partitions)]
    lanes += [(beside, p) for beside in ("lessons", "late", "dead") for p in range(application.partitions)]
    for dataset, lane in [*lanes, ("versions", 0)]:
        try:
            chain.verify(dataset_folder(log, dataset, application.name), lane)
        except BrokenChain as error:
            result.mismatch("chain", f"{dataset} lane {lane}", str(error))
