"""One decision, from the log."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq

from policy_learner.archive.chain import dataset_folder
from policy_learner.archive.segments import View, first_of, view
from policy_learner.join.positions import date_of, ms_of
from sidecar.contracts.application import Application
from sidecar.contracts.events import DecisionEvent, decode_decision
from sidecar.contracts.ids import decided_ms, partition_of_decision

_DAY_MS = 86_400_000
"""How far the service's clock, which is in the id, may be ahead of the store's."""


class Logged(NamedTuple):
    """A decision as it lies in the log."""

    row: dict[str, object]
    event: DecisionEvent
    file: Path
    late: list[dict[str, object]]
    """Rewards that named it and joined nothing."""
    lessons: list[dict[str, object]]
    """What was learnt of it before its horizon."""
    slots: list[dict[str, object]]
    """The rows of its further slots."""


def find(log: Path, application: Application, decision_id: str) -> Logged | None:
    """A decision by its id; None when it is not in the log.

    Raises:
        BadId: not an id of this application.
    """
    lane = partition_of_decision(decision_id, application.partitions)
    folder = dataset_folder(log, "decisions", application.name)
    for path in _files_after(view(folder), lane, decided_ms(decision_id)):
        found = _rows(path, decision_id)
        if found:
            row, *slots = sorted(found, key=lambda one: str(one["slot"]).zfill(3))
            event = row.pop("event")
            assert isinstance(event, bytes)
            late, lessons = (_beside(log, name, application, decision_id) for name in ("late", "lessons"))
            return Logged(row, decode_decision(event), path, late, lessons, slots)
    return None


def _beside(log: Path, dataset: str, application: Application, decision_id: str) -> list[dict[str, object]]:
    seen = view(dataset_folder(log, dataset, application.name))
    compacted = [seen.folder / file.path for file in seen.manifest.files]
    live = [path for lane in sorted(seen.lanes) for path in seen.lanes[lane]]
    return [row for path in [*compacted, *live] for row in _rows(path, decision_id)]


def _files_after(seen: View, lane: int, since_ms: int) -> list[Path]:
    """Files that may hold what a lane finalised after a moment."""
    day = date_of(f"{max(0, since_ms - _DAY_MS)}-0").isoformat()
    compacted = [seen.folder / file.path for file in seen.manifest.files if file.day >= day]
    live = seen.lanes.get(lane, [])
    before = [number for number, path in enumerate(live) if ms_of(first_of(path)) < since_ms - _DAY_MS]
    return [*compacted, *live[max(before, default=0) :]]


def _rows(path: Path, decision_id: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = pq.read_table(
        path, filters=[("decision_id", "=", decision_id)], partitioning=None
    ).to_pylist()
    return found
