"""What the log holds at the end, read once."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from policy_learner.archive import chain
from policy_learner.archive.archive_reader import versions
from policy_learner.archive.chain import dataset_folder
from policy_learner.archive.rows import VersionEntry
from sidecar.contracts.log_files import files_below

_DECISIONS = [
    *("decision_id", "session_id", "partition", "position", "reward", "reward_source_n", "learn"),
    *("mode", "activated"),
]
_LESSONS = [
    *("decision_id", "kind", "partition", "position", "reward", "reward_source_n", "reward_key", "learn"),
]
_LATE = ["decision_id", "kind", "reward_key", "value", "partition"]


@dataclass(frozen=True)
class Log:
    rows: list[dict]
    lessons: list[dict]
    late: Counter
    """(kind, name, key, value) to how often."""
    versions: list[VersionEntry]
    strays: list[Path]
    """Half-written files."""


def read_log(folder: Path, app: str, partitions: int) -> Log:
    """Raises BrokenChain when a file does not begin where the one before it ended."""
    lanes = [(dataset, p) for dataset in ("decisions", "lessons", "late") for p in range(partitions)]
    for dataset, lane in [*lanes, ("versions", 0)]:
        chain.verify(dataset_folder(folder, dataset, app), lane)
    late = _rows(folder, "late", app, _LATE)
    return Log(
        _rows(folder, "decisions", app, _DECISIONS),
        _rows(folder, "lessons", app, _LESSONS),
        Counter((row["kind"], row["decision_id"], row["reward_key"], row["value"]) for row in late),
        list(versions(folder, app)),
        list(folder.rglob(".writing-*")),
    )


def _rows(folder: Path, dataset: str, app: str, columns: list[str]) -> list[dict]:
    files = files_below(dataset_folder(folder, dataset, app))
    read = (pq.ParquetFile(f, pre_buffer=False).read(columns, use_threads=False) for f in files)
    return [row for table in read for row in table.to_pylist()]
