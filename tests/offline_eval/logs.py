"""Logs for tests: Parquet files as the archiver writes them, by the columns of the contract."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sidecar.contracts.application import Arm, Exploration
from sidecar.contracts.catalogue import Catalogue, catalogue_of, encode_arms
from sidecar.contracts.columns import DECISION_COLUMNS
from sidecar.contracts.events import DecisionEvent, encode_decision
from sidecar.contracts.ids import unit_bucket
from sidecar.contracts.weights import Weights, WeightsHeader, weights_of

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
ARMS = ("red", "green", "blue", "grey")
DEVICES = ("ios", "android", "web")
TRUTH = np.array([[0.30, 0.10, 0.10, 0.05], [0.10, 0.25, 0.10, 0.05], [0.08, 0.10, 0.20, 0.05]])
"""Mean reward of the simulated log, by device and arm."""

_TYPES = {
    "string": pa.string(), "binary": pa.binary(), "bool": pa.bool_(), "int8": pa.int8(), "int16": pa.int16(),
    "int32": pa.int32(), "int64": pa.int64(), "float64": pa.float64(),
    "timestamp[us, UTC]": pa.timestamp("us", tz="UTC"), "list<string>": pa.list_(pa.string()),
    "list<float32>": pa.list_(pa.float32()), "list<float64>": pa.list_(pa.float64()),
}  # fmt: skip

SCHEMA = pa.schema([pa.field(c.name, _TYPES[c.type], c.nullable) for c in DECISION_COLUMNS])


def catalogue(arms: Sequence[str] = ARMS) -> Catalogue:
    """A catalogue of arms without features."""
    return catalogue_of(tuple(Arm(arm) for arm in arms))


def row(i: int = 0, arms: Sequence[str] = ARMS, **changes: object) -> dict[str, object]:
    """One sound row of a log: the first arm shown, uniformly at random, reward 1."""
    moment = START + dt.timedelta(seconds=i)
    even = 1 / max(len(arms), 1)
    values: dict[str, object] = {
        "decision_id": f"0-{i:027x}", "slot": 0, "session_id": f"s-{i}", "unit_id": f"u-{i}",
        "unit_bucket": unit_bucket(f"u-{i}"), "decided_at": moment,
        "finalised_at": moment + dt.timedelta(seconds=60), "partition": 0, "position": f"{i + 1}-0",
        "source": "model", "policy": "champion", "model_version": 1, "catalogue": catalogue(arms).version,
        "arm": arms[0] if arms else "", "arm_index": 0, "n_arms": len(arms), "propensity": even,
        "propensity_mc_n": None, "deterministic": False, "learn": True, "reward": 1.0, "reward_source_n": 1,
        "reward_at": moment + dt.timedelta(seconds=5), "inclusion_probability": 1.0, "arms": list(arms),
        "scores": [0.0] * len(arms), "pmf": [even] * len(arms), "context": "{}", "event": b"",
    } | changes  # fmt: skip
    values["event"] = values["event"] or encode_decision(_event(values))
    return values


def write_log(
    folder: Path, rows: Sequence[Mapping[str, object]], arms: Sequence[str] = ARMS, files: int = 1
) -> Path:
    """Write the rows as ``files`` Parquet files, with their catalogue; returns the log's folder."""
    log, known = folder / "log" / "test", catalogue(arms)
    target = log / "decisions" / "app=test" / "dt=2026-01-01"
    target.mkdir(parents=True, exist_ok=True)
    (log / "catalogues").mkdir(exist_ok=True)
    (log / "catalogues" / f"{known.version}.json").write_bytes(encode_arms(known.arms))
    for place, part in enumerate(np.array_split(np.arange(len(rows)), files)):
        table = pa.Table.from_pylist([dict(rows[i]) for i in part], schema=SCHEMA)
        pq.write_table(table, target / f"0-{place + 1:020d}-0.parquet", compression="zstd")
    return log


def simulated_rows(n: int, seed: int, epsilon: float = 0.4, offset: float = 0.0) -> list[dict[str, object]]:
    """Decisions of an epsilon-greedy logger that likes the wrong arm on two devices of three.

    Rewards are Bernoulli(TRUTH) plus ``offset``; delays are exponential.
    """
    random = np.random.default_rng(seed)
    scores = np.array([0.2, 0.1, 0.1, 0.0], np.float32)
    pmf = np.full(4, epsilon / 4)
    pmf[0] += 1 - epsilon
    rows = []
    for i in range(n):
        device, arm = int(random.integers(3)), int(random.choice(4, p=pmf))
        reward = float(random.random() < TRUTH[device, arm])
        delay = dt.timedelta(seconds=float(random.exponential(10.0)))
        rows.append(
            row(
                i, arm=ARMS[arm], arm_index=arm, propensity=float(pmf[arm]), pmf=pmf.tolist(),
                scores=scores.tolist(), reward=reward + offset, reward_source_n=int(reward),
                reward_at=START + dt.timedelta(seconds=i) + delay if reward else None,
                context=msgspec.json.encode({"device": DEVICES[device]}).decode(),
                unit_id=f"u-{i // 2}", unit_bucket=unit_bucket(f"u-{i // 2}"),
            )
        )  # fmt: skip
    return rows


def value_of(pmf_by_device: np.ndarray) -> float:
    """True mean reward, without offset, of a policy with (3, 4) probabilities."""
    return float((pmf_by_device * TRUTH).sum(axis=1).mean())


def weights(values: Mapping[int, float] | None = None, bits: int = 10) -> Weights:
    """Weights of a model that crosses context and arm; all zero but ``values``."""
    table = np.zeros(2**bits, np.float32)
    for place, value in (values or {}).items():
        table[place] = value
    header = WeightsHeader(
        version=1,
        bits=bits,
        interactions=("ca",),
        positions=("0-0",),
        trained_until_ms=0,
        epoch=1,
        examples=0,
    )
    return weights_of(header, table)


def _event(values: Mapping[str, object]) -> DecisionEvent:
    scores = values["scores"]
    return DecisionEvent(
        decision_id=values["decision_id"], session_id=values["session_id"], unit_id=values["unit_id"],
        decided_at_ms=int(values["decided_at"].timestamp() * 1000), horizon_ms=60_000,
        source=values["source"], policy=values["policy"], model_version=values["model_version"],
        catalogue=values["catalogue"], context=msgspec.json.decode(values["context"]), outcomes={},
        arms=tuple(values["arms"]), given_arms={},
        scores=b"" if scores is None else np.float32(scores).tobytes(),
        exploration=Exploration("epsilon_greedy", 0.4, 0.0), arm=values["arm"], arm_index=values["arm_index"],
        propensity=values["propensity"], seed="1",
    )  # fmt: skip
