"""What of the log was deleted, by retention or by privacy requests: who learnt from it cannot be rebuilt."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from policy_learner.archive.chain import dataset_folder
from policy_learner.archive.cutting import DATASETS
from policy_learner.archive.rows import VersionEntry
from policy_learner.join.positions import order
from sidecar.contracts.log_files import read_manifest

_NOWHERE, _NEVER = (0, 0), (2**63, 0)


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
