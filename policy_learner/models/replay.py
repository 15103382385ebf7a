"""Replay: everything in the log is done again, and every bit that comes out another way is a mismatch.

One forward pass. Version after version is trained in the recorded order, and its record compared with the
checksum that was published; then each decision that this version served is scored again, its pmf computed
again, and its arm drawn again with the logged seed. Only one version of the weights is held at a time.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain as chained
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from policy_learner.archive import chain
from policy_learner.archive.archive_reader import LogReader, versions
from policy_learner.archive.chain import dataset_folder
from policy_learner.archive.cutting import DATASETS
from policy_learner.archive.rows import VersionEntry
from policy_learner.archive.segments import Segment, read, view
from policy_learner.errors import BadArchive, BrokenChain, CannotRebuild
from policy_learner.join.catalogues import Catalogues, read_from_log
from policy_learner.join.positions import order
from policy_learner.learning.training import Training
from policy_learner.models.imported import ImportedModels
from policy_learner.models.replayed_bases import ReplayedBases
from policy_learner.rebase import rebases
from policy_learner.rebase.bases import load_base
from sidecar.contracts.application import Application
from sidecar.contracts.base_model import models_in
from sidecar.contracts.errors import BadWeights, SidearmError
from sidecar.contracts.events import DecisionEvent, decode_decision
from sidecar.contracts.layout import DataFolder
from sidecar.contracts.log_files import read_manifest
from sidecar.contracts.models import name_of
from sidecar.contracts.weights import Weights
from sidecar.policy.calibration import expected_of, ranks_of
from sidecar.policy.exploration import Scores
from sidecar.policy.held_arms import ArmTables
from sidecar.policy.pipeline import score_event
from sidecar.policy.propensity import pmf_of_event
from sidecar.policy.sampling import draw

MOST_TOLD = 20
"""Mismatches described one by one; the others are counted."""
_NOWHERE, _NEVER = (0, 0), (2**63, 0)
_ROWS_READ = 2000
_HELD_BYTES = 512 * 2**20
_COLUMNS = ["decision_id", "arm", "arm_index", "propensity", "scores", "pmf", "event"]


class Mismatch(NamedTuple):
    """Something that came out another way."""

    what: str
    """``row``, ``draw``, ``score``, ``pmf``, ``meaning``, ``weights``, ``base``, ``chain``."""
    name: str
    """The decision, the version, or the file."""
    detail: str


@dataclass
class Replayed:
    """What was done again, and what came of it."""

    counts: Counter[str] = field(default_factory=Counter)
    """``decisions``, ``drawn``, ``scored``, ``based``, ``imported``, ``certain``, ``versions``, ``examples``,
    ``deleted`` (versions that learnt from rows which retention or a privacy request deleted)."""
    mismatches: Counter[str] = field(default_factory=Counter)
    told: list[Mismatch] = field(default_factory=list)

    def mismatch(self, what: str, name: str, detail: str) -> None:
        """Count it, and keep the first ones."""
        self.mismatches[what] += 1
        if len(self.told) < MOST_TOLD:
            self.told.append(Mismatch(what, name, detail))

    @property
    def clean(self) -> bool:
        """Everything came out the same."""
        return not self.mismatches


class Row(NamedTuple):
    """One archived decision: its columns and the event beside them."""

    decision_id: str
    arm: str
    arm_index: int
    propensity: float
    scores: list[float] | None
    pmf: list[float] | None
    event: DecisionEvent


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
                _check_base(row.event, bases, catalogues, tables, result)
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


def check_row(
    row: Row,
    weights: Weights | None,
    catalogues: Catalogues,
    tables: ArmTables,
    result: Replayed,
    deleted: bool = False,
) -> None:
    """Compare a row with its event, draw again, and score again unless its weights are ``deleted``."""
    event = row.event
    result.counts["decisions"] += 1
    if (row.decision_id, row.arm, row.arm_index, row.propensity) != (
        event.decision_id,
        event.arm,
        event.arm_index,
        event.propensity,
    ) or not _same(row.scores, event.scores, "<f4"):
        result.mismatch("row", row.decision_id, "the columns are not what the stored event says")
    if event.exploration.scheme == "logged":
        result.counts["imported"] += 1
    elif not event.scores:
        result.counts["certain"] += 1
    else:
        _check_draw(row, catalogues, result)
        if not deleted:
            _check_score(event, weights, catalogues, tables, result)


class Index:
    """Which row of which file was served by which version: a few bytes a decision."""

    def __init__(self, log: Path, application: Application) -> None:
        self._segments = view(dataset_folder(log, "decisions", application.name)).segments
        self._held: OrderedDict[int, pa.Table] = OrderedDict()
        of_file = [_model_versions(segment) for segment in self._segments]
        sizes = [len(found) for found in of_file]
        served = np.concatenate(of_file) if of_file else np.empty(0, np.int64)
        file = np.repeat(np.arange(len(sizes)), sizes)
        place = np.concatenate([np.arange(size) for size in sizes]) if sizes else np.empty(0, np.int64)
        by_version = np.argsort(served, kind="stable")
        self._served, self._file, self._place = served[by_version], file[by_version], place[by_version]

    def __len__(self) -> int:
        return len(self._served)

    @property
    def versions(self) -> set[int]:
        """Versions that served a decision."""
        return set(np.unique(self._served).tolist())

    def rows(self, version: int) -> Iterator[list[Row]]:
        """The decisions that a version served, some at a time, file by file."""
        start, stop = np.searchsorted(self._served, [version, version + 1])
        files = self._file[start:stop]
        for number in np.unique(files):
            table = self._table(int(number))
            wanted = self._place[start:stop][files == number]
            for begin in range(0, len(wanted), _ROWS_READ):
                yield _rows(table.take(pa.array(wanted[begin : begin + _ROWS_READ])))

    def _table(self, number: int) -> pa.Table:
        """A piece of the log. Versions follow one another as the log does: the last is needed again."""
        if number not in self._held:
            try:
                self._held[number] = read(self._segments[number], _COLUMNS)
            except FileNotFoundError as error:
                raise BadArchive(f"{error.filename} was compacted meanwhile: start again") from error
        self._held.move_to_end(number)
        while len(self._held) > 1 and sum(table.nbytes for table in self._held.values()) > _HELD_BYTES:
            self._held.popitem(last=False)
        return self._held[number]


class Gone(NamedTuple):
    """What of the log was deleted, by lane."""

    before: dict[int, tuple[int, int]]
    """Everything before this position (retention)."""
    from_: dict[int, tuple[int, int]]
    """Single rows from this position on (privacy requests)."""

    def covers(self, entry: VersionEntry) -> bool:
        """Whether a version was trained on what was deleted, or may have been."""
        return any(
            order(batch.first) < self.before.get(batch.partition, _NOWHERE)
            or order(batch.last) >= self.from_.get(batch.partition, _NEVER)
            for batch in entry.batches
        )


def gone_of(log: Path, app: str) -> Gone:
    """What the log says that was deleted from it, rows of decisions or lessons before their horizon."""
    gone = Gone({}, {})
    for dataset in DATASETS:
        manifest = read_manifest(dataset_folder(log, dataset, app))
        for lane, position in manifest.dropped.items():
            gone.before[int(lane)] = max(order(position), gone.before.get(int(lane), _NOWHERE))
        for lane, position in manifest.forgotten_from.items():
            gone.from_[int(lane)] = min(order(position), gone.from_.get(int(lane), _NEVER))
    return gone


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


def _check_draw(row: Row, catalogues: Catalogues, result: Replayed) -> None:
    """The logged scores give the logged pmf, and it with the logged seed the logged arm."""
    event = row.event
    result.counts["drawn"] += 1
    try:
        pmf = pmf_of_event(event)
        drawn = draw(pmf, int(event.seed))
    except (SidearmError, ValueError) as error:
        result.mismatch("draw", row.decision_id, str(error))
        return
    ids = event.arms or catalogues.ids(event.catalogue)
    if not _same(row.pmf, pmf.tobytes(), "<f8"):
        result.mismatch("pmf", row.decision_id, "the logged pmf is not that of the logged scores")
    if (drawn, float(pmf[drawn])) != (row.arm_index, row.propensity) or ids[drawn] != row.arm:
        detail = (
            f"drawn again: {ids[drawn]} with {float(pmf[drawn])!r}; logged: {row.arm} with {row.propensity!r}"
        )
        result.mismatch("draw", row.decision_id, detail)


def _check_score(
    event: DecisionEvent,
    weights: Weights | None,
    catalogues: Catalogues,
    tables: ArmTables,
    result: Replayed,
) -> None:
    if event.source != "model":
        return
    if weights is None and not event.cold:
        result.mismatch("score", event.decision_id, f"weights of version {event.model_version} are gone")
        return
    result.counts["scored"] += 1
    try:
        scores, _ = score_event(event, catalogues.get(event.catalogue), weights, tables)
    except SidearmError as error:
        result.mismatch("score", event.decision_id, str(error))
        return
    if scores.astype("<f4").tobytes() != event.scores:
        result.mismatch("score", event.decision_id, "scored again, the scores are others")
    elif event.expected is not None and _meaning(scores, weights, event) != (event.expected, event.rank):
        result.mismatch("meaning", event.decision_id, "calibrated again, expectation or rank are others")


def _meaning(scores: Scores, weights: Weights | None, event: DecisionEvent) -> tuple[float, float] | None:
    """What the score of the shown arm means under the weights; None when they do not know."""
    calibration = weights.header.calibration if weights is not None else None
    if not calibration:
        return None
    shown = scores[event.arm_index : event.arm_index + 1]
    return float(expected_of(shown, calibration)[0]), float(ranks_of(shown, calibration)[0])


def _check_base(
    event: DecisionEvent, bases: ReplayedBases, catalogues: Catalogues, tables: ArmTables, result: Replayed
) -> None:
    if not models_in(event.outcomes):
        return
    result.counts["based"] += 1
    try:
        complaint = bases.complaint(event, catalogues.get(event.catalogue), tables)
    except SidearmError as error:
        complaint = str(error)
    if complaint:
        result.mismatch("base", event.decision_id, complaint)


def _check_chains(log: Path, application: Application, result: Replayed) -> None:
    """Every file begins where the one before it ended."""
    lanes = [("decisions", p) for p in range(application.partitions)]
    lanes += [(beside, p) for beside in ("lessons", "late", "dead") for p in range(application.partitions)]
    for dataset, lane in [*lanes, ("versions", 0)]:
        try:
            chain.verify(dataset_folder(log, dataset, application.name), lane)
        except BrokenChain as error:
            result.mismatch("chain", f"{dataset} lane {lane}", str(error))


def _model_versions(segment: Segment) -> npt.NDArray[np.int64]:
    found: npt.NDArray[np.int64] = read(segment, ["model_version"])["model_version"].to_numpy()
    return found


def _rows(table: pa.Table) -> list[Row]:
    columns = [table[name].to_pylist() for name in _COLUMNS[:-1]]
    events = [decode_decision(event) for event in table["event"].to_pylist()]
    return [Row(*values) for values in zip(*columns, events, strict=True)]


def _same(column: list[float] | None, stored: bytes, kind: str) -> bool:
    """Whether a list column holds the stored numbers, to the last bit; null holds none."""
    return np.array(column or [], kind).tobytes() == stored
