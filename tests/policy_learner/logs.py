"""Logs on disk as the archiver writes them, without a store: many small files of several lanes and days."""

from __future__ import annotations

import itertools
from collections import Counter
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from policy_learner.archive import chain
from policy_learner.archive.chain import Span, dataset_folder
from policy_learner.archive.rows import DECISIONS, LATE
from sidecar.contracts.application import Exploration
from sidecar.contracts.events import DecisionEvent, encode_decision
from sidecar.contracts.ids import new_decision_id, unit_bucket
from sidecar.contracts.log_files import files_below

DAY_MS = 86_400_000
FIRST_DAY = 20_454  # 2026-01-01
DAYS = [date.fromordinal(date(1970, 1, 1).toordinal() + FIRST_DAY + n) for n in range(10)]
APP = "x"


def ms(day: int, second: float = 0.0) -> int:
    """A moment of the day with that number."""
    return (FIRST_DAY + day) * DAY_MS + round(second * 1000)


class Archiver:
    """Writes decisions, lane by lane, each file after the one before it."""

    def __init__(self, log: Path, lanes: int = 2, units: int = 7) -> None:
        self.log, self.lanes, self._units = log, lanes, units
        self.folder = dataset_folder(log, "decisions", APP)
        self._numbers = itertools.count()
        self.ids: Counter[str] = Counter()

    def write(self, day: int, files: int = 3, rows: int = 4, start_s: float = 0.0) -> None:
        """Some files a lane, of that day; their rows alternate between the lanes."""
        for number in range(files):
            for lane in range(self.lanes):
                at = [ms(day, start_s + 60 * number + 3 * row) + lane for row in range(rows)]
                self.append(lane, [f"{one}-{next(self._numbers) % 2}" for one in at])

    def append(self, lane: int, positions: list[str], unit: str | None = None) -> Path:
        """One file."""
        rows = [self.row(lane, position, unit) for position in positions]
        covers = Span(chain.end_of(self.folder, lane), positions[-1])
        day = date.fromordinal(date(1970, 1, 1).toordinal() + int(positions[0].split("-")[0]) // DAY_MS)
        table = pa.Table.from_pylist(rows, schema=DECISIONS)
        path = chain.append(self.folder, lane, day, positions[0], covers, table)
        assert path is not None
        self.ids.update(row["decision_id"] for row in rows)
        return path

    def row(self, lane: int, position: str, unit: str | None = None) -> dict[str, object]:
        number = next(self._numbers)
        at_ms = int(position.partition("-")[0])
        decided_ms = at_ms - 1000
        unit = unit or f"u-{number % self._units}"
        event = DecisionEvent(
            decision_id=new_decision_id(lane, decided_ms, number), session_id=f"s-{number}", unit_id=unit,
            decided_at_ms=decided_ms, horizon_ms=1000, source="model", policy="champion",
            model_version=number // 5, catalogue="c", context={"device": "ios"}, outcomes={},
            arms=("a", "b"), given_arms={}, scores=b"", exploration=Exploration(), arm="a", arm_index=0,
            propensity=0.5, seed="1",
        )  # fmt: skip
        return {
            "decision_id": event.decision_id, "slot": 0, "session_id": event.session_id, "unit_id": unit,
            "unit_bucket": unit_bucket(unit), "decided_at": decided_ms * 1000, "finalised_at": at_ms * 1000,
            "partition": lane, "position": position, "source": "model", "policy": "champion",
            "model_version": event.model_version, "catalogue": "c", "arm": "a", "arm_index": 0, "n_arms": 2,
            "propensity": 0.5, "propensity_mc_n": None, "deterministic": False, "learn": True,
            "reward": float(number), "reward_source_n": 1, "reward_at": at_ms * 1000,
            "inclusion_probability": 1.0, "arms": ["a", "b"], "scores": None, "pmf": [0.5, 0.5],
            "context": "{}", "event": encode_decision(event),
        }  # fmt: skip

    def late(self, lane: int, position: str, names: list[str], kind: str = "L") -> Path:
        """One file of rewards that joined nothing."""
        folder = dataset_folder(self.log, "late", APP)
        rows = [
            {"decision_id": name, "kind": kind, "reward_key": "k", "at": int(position.split("-")[0]) * 1000,
             "value": 1.0, "event": "purchase", "arm": "a", "partition": lane, "position": position}
            for name in names
        ]  # fmt: skip
        day = date.fromordinal(date(1970, 1, 1).toordinal() + int(position.split("-")[0]) // DAY_MS)
        covers = Span(chain.end_of(folder, lane), position)
        path = chain.append(folder, lane, day, position, covers, pa.Table.from_pylist(rows, schema=LATE))
        assert path is not None
        return path


def read_ids(folder: Path) -> Counter[str]:
    """The decision ids that a reader of a dataset finds, each as often as it stands there."""
    ids: Counter[str] = Counter()
    for path in files_below(folder):
        ids.update(pq.ParquetFile(path).read(["decision_id"])["decision_id"].to_pylist())
    return ids
