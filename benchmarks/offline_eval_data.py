"""The log that ``offline_eval`` is measured on: softmax policies over ten arms, made once and kept.

::

    scored.parquet              a row each: reward, propensity, e, q, v and its unit (snappy, no dictionary)
    decisions.parquet           the same rows without e, q, v; scores.parquet has those, in the same order
    first.parquet               the first four million of scored.parquet
    dense.parquet               the same four million, target and model as lists of ten: what obp has
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

ROWS = 10_000_000
DENSE_ROWS = 4_000_000
"""Of the lists, which need 3 GB of memory where they are used."""
ARMS, FEATURES, UNITS = 10, 5, 2_000_000
_CHUNK = 500_000
_ROW_GROUP = 122_880
_DECISIONS = ["unit_id", "unit_bucket", "reward", "propensity"]
_SCORES = ["e", "q", "v"]

Floats = npt.NDArray[np.float64]


def made(folder: Path) -> Path:
    """``folder`` with the files in it."""
    done = folder / f"made-{ROWS}-{DENSE_ROWS}"
    if not done.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder)
        done.touch()
    return folder


def _write(folder: Path) -> None:
    writers: dict[str, pq.ParquetWriter] = {}
    for start, (table, dense) in zip(range(0, ROWS, _CHUNK), _chunks(), strict=False):
        parts = {"scored": table, "decisions": table.select(_DECISIONS), "scores": table.select(_SCORES)}
        if start < DENSE_ROWS:
            parts |= {"dense": dense, "first": table}
        for name, part in parts.items():
            if name not in writers:
                path = folder / f"{name}.parquet"
                writers[name] = pq.ParquetWriter(
                    path, part.schema, compression="snappy", use_dictionary=False
                )
            writers[name].write_table(part, row_group_size=_ROW_GROUP)
    for writer in writers.values():
        writer.close()


def _chunks() -> Iterator[tuple[pa.Table, pa.Table]]:
    random = np.random.default_rng(1)
    ours, theirs, worth = (random.normal(0, 0.6, (FEATURES, ARMS)) for _ in range(3))
    while True:
        context = random.normal(size=(_CHUNK, FEATURES))
        yield _chunk(random, _softmax(context @ ours), _softmax(context @ theirs), context @ worth)


def _chunk(
    random: np.random.Generator, logger: Floats, target: Floats, worth: Floats
) -> tuple[pa.Table, pa.Table]:
    chance = 1 / (1 + np.exp(2 - worth))
    rows = np.arange(_CHUNK)
    arm = (logger.cumsum(axis=1) < random.random(_CHUNK)[:, None]).sum(axis=1).clip(max=ARMS - 1)
    model = np.clip(chance + random.normal(0, 0.03, chance.shape), 0, 1)
    unit = random.integers(0, UNITS, _CHUNK)
    reward = (random.random(_CHUNK) < chance[rows, arm]).astype(np.float64)
    columns = {
        "unit_id": unit, "unit_bucket": (unit * 7919 % 1024).astype(np.int16), "reward": reward,
        "propensity": logger[rows, arm], "e": target[rows, arm], "q": model[rows, arm],
        "v": (target * model).sum(axis=1),
    }  # fmt: skip
    lists = {
        "action": arm, "reward": reward, "propensity": columns["propensity"],
        "pi_e": pa.FixedSizeListArray.from_arrays(target.ravel(), ARMS),
        "q_hat": pa.FixedSizeListArray.from_arrays(model.ravel(), ARMS),
    }  # fmt: skip
    return pa.table(columns), pa.table(lists)


def _softmax(scores: Floats) -> Floats:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    shares: Floats = powers / powers.sum(axis=1, keepdims=True)
    return shares
