"""One decision, from the log."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq

from policy_learner import chain
from policy_learner.chain import dataset_folder
from policy_learner.positions import ms_of
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


def find(log: Path, application: Application, decision_id: str) -> Logged | None:
    """A decision by its id; None when it is not in the log.

    Raises:
        BadId: not an id of this application.
    """
    lane = partition_of_decision(decision_id, application.partitions)
    folder = dataset_folder(log, "decisions", application.name)
    for path in _files_after(folder, lane, decided_ms(decision_id)):
        found = _rows(path, decision_id)
        if found:
            row = found[0]
            event = row.pop("event")
            assert isinstance(event, bytes)
            late = dataset_folder(log, "late", application.name)
            kept = [r for link in chain.links(late, lane) for r in _rows(link.path, decision_id)]
            return Logged(row, decode_decision(event), path, kept)
    return None


def _files_after(folder: Path, lane: int, since_ms: int) -> list[Path]:
    """Files of a lane that may hold what was finalised after a moment."""
    links = chain.links(folder, lane)
    before = [number for number, link in enumerate(links) if ms_of(link.first) < since_ms - _DAY_MS]
    return [link.path for link in links[max(before, default=0) :]]


def _rows(path: Path, decision_id: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = pq.read_table(
        path, filters=[("decision_id", "=", decision_id)], partitioning=None
    ).to_pylist()
    return found
