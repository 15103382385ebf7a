"""What was promised to callers, held against the books and the Parquet log."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import redis

from sidecar.contracts.books import books, counters_of
from sidecar.contracts.keys import Keys
from sidecar.contracts.layout import DataFolder
from tests.k8s.rehearsal.traffic import Traffic

Rows = list[dict[str, Any]]


def all_finalised(client: redis.Redis, keys: list[Keys]) -> bool:
    """Nothing waits for its horizon any more."""
    return not any(client.zcard(k.due) + client.zcard(k.orphans) for k in keys)


def check_books(client: redis.Redis, keys: list[Keys]) -> None:
    """Imbalance 0 in every partition."""
    counted = [counters_of(client.hgetall(k.counters)) for k in keys]
    assert all(books(c, pending=0, awaited=0, open_rewards=0).balanced for c in counted), counted


def rows_of(claims: Path, app: str, dataset: str) -> Rows:
    """Every row of a data set that lies on any of the claims."""
    folders = [DataFolder(claim).log(app) / dataset for claim in claims.iterdir()]
    return [
        row
        for folder in folders
        if any(folder.rglob("*.parquet"))
        for row in ds.dataset(folder, partitioning="hive").to_table().to_pylist()
    ]


def check_decisions(traffic: Traffic, rows: Rows) -> None:
    """Every decision that was answered has one row, with the arm that was named."""
    times = Counter(row["decision_id"] for row in rows)
    assert max(times.values()) == 1
    arms = {row["decision_id"]: row["arm"] for row in rows}
    for caller in traffic.callers:
        missing = caller.heard.decided.items() - arms.items()
        assert not missing, missing


def check_rewards(traffic: Traffic, rows: Rows, late: Rows) -> None:
    """Every reward that was accepted is its decision's, or in the late log; never both, never neither."""
    joined = {row["decision_id"]: row["reward"] for row in rows if row["reward_source_n"]}
    kept = Counter(row["reward_key"] for row in late)
    sent = {key: told for caller in traffic.callers for key, told in caller.heard.rewarded.items()}
    assert sent
    for key, (decision_id, value) in sent.items():
        assert (joined.get(decision_id) == value) + kept[key] == 1, (key, decision_id, value)
