"""Decisions of others as a Parquet log of ours: the contract's columns, an event each, and catalogues."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from msgspec import Struct

from offline_eval.errors import BadInput
from sidecar.contracts.application import Arm, Exploration, Features
from sidecar.contracts.catalogue import Catalogue, catalogue_of, encode_arms
from sidecar.contracts.columns import DECISION_COLUMNS
from sidecar.contracts.events import DecisionEvent, encode_decision
from sidecar.contracts.ids import unit_bucket

_TYPES = {
    "string": pa.string(), "binary": pa.binary(), "bool": pa.bool_(), "int8": pa.int8(), "int16": pa.int16(),
    "int32": pa.int32(), "int64": pa.int64(), "float64": pa.float64(),
    "timestamp[us, UTC]": pa.timestamp("us", tz="UTC"), "list<string>": pa.list_(pa.string()),
    "list<float32>": pa.list_(pa.float32()), "list<float64>": pa.list_(pa.float64()),
}  # fmt: skip
SCHEMA = pa.schema([pa.field(one.name, _TYPES[one.type], one.nullable) for one in DECISION_COLUMNS])
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
"""The moment of decisions without one."""


class Decision(Struct, frozen=True, kw_only=True):
    """One decision of another system. What is wrong with it is counted when the log is read, not here."""

    decision_id: str
    arm: str
    arms: tuple[str, ...]
    """Eligible ones."""
    propensity: float | None
    reward: float | None
    slot: int = 0
    unit_id: str = ""
    """Empty: the decision itself."""
    at: dt.datetime = EPOCH
    policy: str = "import"
    model_version: int = 0
    pmf: tuple[float, ...] | None = None
    """Of the eligible arms in their order."""
    propensity_mc_n: int | None = None
    inclusion_probability: float = 1.0
    context: Features = {}
    arm_features: Mapping[str, Features] = {}
    is_activated: bool = True


class LogWriter:
    """Writes decisions into a log folder, a file for every batch and day.

    Args:
        folder: of the log, such as ``data/log/theirs``; its name is that of the application.

    Raises:
        BadInput: there are decisions in it already.
    """

    def __init__(self, folder: Path) -> None:
        self.rows = 0
        self._folder = folder
        self._root = folder / "decisions" / f"app={folder.name}"
        if any(self._root.rglob("*.parquet")):
            raise BadInput(f"{folder} holds decisions already: name a new folder")

    def write(self, decisions: Sequence[Decision]) -> None:
        """Append decisions.

        Raises:
            BadInput: a value of a type that the log has no place for, or a folder that cannot be written.
        """
        catalogue = _catalogue(decisions)
        rows = [_row(one, catalogue, self.rows + place) for place, one in enumerate(decisions)]
        by_day: dict[str, list[dict[str, object]]] = {}
        for one, made in zip(decisions, rows, strict=True):
            by_day.setdefault(one.at.date().isoformat(), []).append(made)
        try:
            self._keep(catalogue)
            for day, found in by_day.items():
                self._write(day, found)
        except (OSError, pa.ArrowException, OverflowError) as error:
            raise BadInput(f"{self._folder}: {error}") from error
        self.rows += len(rows)

    def finish(self) -> None:
        """Write an empty file where there was no decision at all, so that the log is one."""
        if not self.rows:
            self._write(EPOCH.date().isoformat(), [])

    def _write(self, day: str, rows: list[dict[str, object]]) -> None:
        path = self._root / f"dt={day}" / f"0-{self.rows + 1:020d}-0.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.part")
        pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), beside, compression="zstd")
        beside.replace(path)

    def _keep(self, catalogue: Catalogue) -> None:
        path = self._folder / "catalogues" / f"{catalogue.version}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_arms(catalogue.arms))


def _catalogue(decisions: Sequence[Decision]) -> Catalogue:
    """Every arm that is named, without features: those stand in the decisions."""
    names = dict.fromkeys(arm for one in decisions for arm in one.arms)
    return catalogue_of(tuple([Arm(name) for name in names]))


def _row(one: Decision, catalogue: Catalogue, place: int) -> dict[str, object]:
    index = one.arms.index(one.arm) if one.arm in one.arms else -1
    unit = one.unit_id or one.decision_id
    return {
        "decision_id": one.decision_id, "slot": one.slot, "session_id": one.decision_id, "unit_id": unit,
        "unit_bucket": unit_bucket(unit), "decided_at": one.at, "finalised_at": one.at, "partition": 0,
        "position": f"{place + 1}-0", "source": "import", "policy": one.policy,
        "model_version": one.model_version, "catalogue": catalogue.version, "arm": one.arm,
        "arm_index": index, "n_arms": len(one.arms),
        # A propensity that is missing is no number: such a row is counted, and does not count.
        "propensity": float("nan") if one.propensity is None else one.propensity,
        "propensity_mc_n": one.propensity_mc_n, "deterministic": False, "learn": False,
        "reward": one.reward, "reward_source_n": int(one.reward is not None), "reward_at": None,
        "inclusion_probability": one.inclusion_probability, "arms": list(one.arms), "scores": None,
        "pmf": None if one.pmf is None else list(one.pmf),
        "context": msgspec.json.encode(one.context).decode(),
        "event": encode_decision(_event(one, unit, index, catalogue)), "activated": one.is_activated,
    }  # fmt: skip


def _event(one: Decision, unit: str, index: int, catalogue: Catalogue) -> DecisionEvent:
    return DecisionEvent(
        decision_id=one.decision_id, session_id=one.decision_id, unit_id=unit,
        decided_at_ms=round(one.at.timestamp() * 1000), horizon_ms=0, source="import", policy=one.policy,
        model_version=one.model_version, catalogue=catalogue.version, context=one.context,
        outcomes=dict.fromkeys(one.context, "given"), arms=one.arms,
        given_arms={arm: dict(found) for arm, found in one.arm_features.items()}, scores=b"",
        exploration=Exploration("logged", 0.0, 0.0), arm=one.arm, arm_index=index,
        propensity=one.propensity or 0.0, seed="", learn=False,
        inclusion_probability=one.inclusion_probability, propensity_mc_n=one.propensity_mc_n or 0,
    )  # fmt: skip
