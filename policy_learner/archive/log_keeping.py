"""Keeping the log: few large files for many small ones, old days deleted, replaced files cleared away.

What is due is looked up on disk each time, so it does not matter who did it last, or who was killed doing it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from policy_learner.archive.chain import dataset_folder
from policy_learner.archive.compaction import OF_UNITS, Progress, Shape, compact_day, open_days, rows_of
from policy_learner.archive.forgetting import forget_latecomers
from policy_learner.archive.generation import clean
from policy_learner.archive.retention import drop_before
from policy_learner.archive.rows import SCHEMAS
from policy_learner.archive.segments import View, view
from policy_learner.errors import BadArchive, LearnerError
from policy_learner.settings import LearnerSettings
from sidecar.contracts.errors import BadSettings, ContractError

_CLOSED_AFTER_MS = 600_000
"""After midnight: the archiver may still write rows of the day before."""
_ATTEMPTS = 3
"""When others compact at the same time."""

log = logging.getLogger("sidearm.learner")


class Due(NamedTuple):
    """One day of one dataset whose files should become few."""

    dataset: str
    day: str
    whole: bool
    """The day is over."""
    files: int
    """Of the archiver, that would be compacted."""


class Kept(NamedTuple):
    """What was done in one go."""

    compacted: tuple[Due, ...]
    dropped: tuple[tuple[str, str, int], ...]
    """Dataset, day and rows that were deleted because they are old."""
    removed: int
    """Files that had been replaced, and whose grace is over."""


class Policy(NamedTuple):
    """What is to be done."""

    many_files: int
    """Files of a day that goes on, from which on they are compacted before it ends."""
    retention_days: int
    """0: nothing is ever deleted."""
    grace_s: float
    shape: Shape = Shape()


def policy_of(settings: LearnerSettings) -> Policy:
    """As the settings say."""
    shape = Shape(settings.compact_group_rows, settings.compact_file_rows)
    return Policy(settings.compact_files, settings.retention_days, settings.compact_grace_s, shape)


def due(log_folder: Path, app: str, now_ms: int, many_files: int) -> list[Due]:
    """What should be compacted now, in the order in which it must be."""
    closed_before = _day_of(now_ms - _CLOSED_AFTER_MS)
    found = []
    for dataset in SCHEMAS:
        seen = view(dataset_folder(log_folder, dataset, app))
        for day in open_days(seen):
            files = _files_of(seen, day)
            over = day < closed_before
            if not (over or files >= many_files):
                break  # a lane's compacted part is the beginning of its chain
            found.append(Due(dataset, day, over, files))
    return found


def keep(
    log_folder: Path,
    app: str,
    now_ms: int,
    policy: Policy,
    stopped: Callable[[], bool] = lambda: False,
    tick: Progress = lambda rows: None,
) -> Kept:
    """Do what is due.

    Args:
        log_folder: root of the application's datasets.
        app: its name.
        now_ms: which decides what is old; see ``retention``.
        policy: what is to be done.
        stopped: asked between two days.
        tick: told how many more rows were written.

    Raises:
        BadArchive, BrokenChain, BadManifest: a file is damaged; what lies before it was done.
        OSError: the disk is full or away.
    """
    dropped = drop_before(log_folder, app, cutoff(log_folder, app, now_ms, policy.retention_days), now_ms)
    compacted = []
    for one in due(log_folder, app, now_ms, policy.many_files):
        if stopped():
            break
        if _compact(log_folder, app, one, now_ms, policy.shape, tick):
            compacted.append(one)
    grace_ms = round(policy.grace_s * 1000)
    removed = sum(len(clean(dataset_folder(log_folder, d, app), now_ms, grace_ms)) for d in SCHEMAS)
    return Kept(tuple(compacted), tuple(dropped), removed)


def cutoff(log_folder: Path, app: str, now_ms: int, retention_days: int) -> date | None:
    """The first day that stays; None: all do.

    Days are counted back from today, and from the newest day of the log if that is earlier: a clock that
    jumps ahead must not delete everything. So without traffic nothing is deleted either, but by hand.
    """
    seen = view(dataset_folder(log_folder, "decisions", app))
    days = [file.day for file in seen.manifest.files] + open_days(seen)
    if not retention_days or not days:
        return None
    return date.fromisoformat(min(_day_of(now_ms), max(days))) - timedelta(days=retention_days)


def check(settings: LearnerSettings) -> None:
    """Refuse an object store that cannot be one before anything begins.

    Raises:
        BadSettings: its address is of another form, or the library that speaks to it is missing.
    """
    if not settings.archive_url:
        return
    try:
        from policy_learner.archive.log_shipping import open_store

        open_store(settings.archive_url)
    except ImportError as error:
        raise BadSettings(f"archive_url needs {error.name}: install sidearm[objects]") from error
    except BadArchive as error:
        raise BadSettings(f"archive_url: {error}") from error


@contextmanager
def keeping(
    log_folder: Path, app: str, settings: LearnerSettings, now_ms: Callable[[], int]
) -> Iterator[None]:
    """Keep the log in a thread of its own, beside whatever is done meanwhile.

    Its work is Arrow's, which needs no interpreter, so the learner goes on; whenever the process dies, a day
    is compacted or it is not.
    """
    stop = threading.Event()
    threads = []
    if settings.compact_every_s:
        keeper = (stop, log_folder, app, settings, now_ms)
        threads.append(threading.Thread(target=_keep_until, args=keeper, name="keep-log", daemon=True))
    if settings.archive_url:
        shipper = (stop, log_folder, settings)
        threads.append(threading.Thread(target=_ship_until, args=shipper, name="ship-log", daemon=True))
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(settings.drain_s)


def wall_ms() -> int:
    """The machine's clock."""
    return round(time.time() * 1000)


def rows_due(log_folder: Path, app: str, wanted: list[Due]) -> int:
    """How many rows compaction will write, about."""
    total = 0
    for dataset, day, whole, _ in wanted:
        seen = view(dataset_folder(log_folder, dataset, app))
        live = [path for paths in seen.lanes.values() for path in paths if path.parent.name == f"dt={day}"]
        total += sum(rows_of(path) for path in live) + sum(f.rows for f in seen.on([day]) if whole)
    return total


def _keep_until(
    stop: threading.Event, folder: Path, app: str, settings: LearnerSettings, now_ms: Callable[[], int]
) -> None:
    said = ""
    while not stop.wait(settings.compact_every_s):
        try:
            kept = keep(folder, app, now_ms(), policy_of(settings), stop.is_set)
            said = ""
        except (LearnerError, ContractError, OSError) as error:
            if str(error) != said:  # once, not at every attempt
                log.error("the log is not compacted: %s", error)
            said = str(error)
            continue
        for one in kept.compacted:
            log.info("compacted %s of %s: %d files", one.dataset, one.day, one.files)
        for dataset, day, rows in kept.dropped:
            log.info(
                "deleted %s of %s, older than %d days: %d rows", dataset, day, settings.retention_days, rows
            )


def _ship_until(stop: threading.Event, folder: Path, settings: LearnerSettings) -> None:
    from policy_learner.archive.log_shipping import (  # whoever ships nothing needs no object store
        Shipper,
        open_store,
    )

    shipper, said = None, ""
    while not stop.wait(settings.archive_ship_every_s):
        try:
            shipper = shipper or Shipper(folder, open_store(settings.archive_url))
            shipped, said = shipper.ship(), ""
            if shipped.files:
                log.info("shipped %d files of the log, %.1f MB", shipped.files, shipped.size_bytes / 1e6)
        except (LearnerError, ContractError, OSError) as error:
            if str(error) != said:  # once, not at every attempt
                log.error("the log is not shipped: %s", error)
            said = str(error)


def _compact(log_folder: Path, app: str, one: Due, now_ms: int, shape: Shape, tick: Progress) -> bool:
    folder = dataset_folder(log_folder, one.dataset, app)
    if one.dataset in OF_UNITS:
        forget_latecomers(log_folder, app, one.dataset, one.day, now_ms)
    for _ in range(_ATTEMPTS):
        if one.day not in open_days(view(folder)):
            return False  # somebody else did it
        if compact_day(folder, one.dataset, one.day, now_ms, whole=one.whole, shape=shape, tick=tick):
            return True
    return False


def _files_of(seen: View, day: str) -> int:
    return sum(path.parent.name == f"dt={day}" for paths in seen.lanes.values() for path in paths)


def _day_of(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).date().isoformat()
