"""``python -m offline_eval.finding PARENT LOG``: decisions of a log, for whoever cannot read Parquet itself.

The question (``sidecar.contracts.looking``) comes by standard input, the answer goes to standard output.
"""

# ruff: noqa: S608 - SQL is made of our own names; values are parameters, and names of files go through literal
from __future__ import annotations

import datetime as dt
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import msgspec
from msgspec.structs import replace

from offline_eval.dataset import find_files
from offline_eval.engine import connect, literal
from offline_eval.errors import BadLog
from offline_eval.readable_files import damaged, unreadable
from offline_eval.tied import tie_to
from sidecar.contracts.errors import BadId, SidearmError
from sidecar.contracts.ids import decided_ms
from sidecar.contracts.looking import LoggedDecision, Looked, Sought

_DAY_MS = 86_400_000
_MEMORY = "512MB"
_NICENESS = 10
_ADDED = ("segment", "activated")
"""Columns that files of earlier versions do not have, with their types below."""
_TYPES = {"segment": "VARCHAR", "activated": "BOOLEAN"}
_COLUMNS = (
    "decision_id, session_id, unit_id, epoch_ms(decided_at), epoch_ms(finalised_at), source, policy,"
    " model_version, arm, propensity, reward, reward_source_n"
)


_REWARD = 10
"""Its place among them."""


def look(log: Path, sought: Sought) -> Looked:
    """The newest decisions of a log that are as ``sought`` says.

    Raises:
        BadLog: it cannot be read.
    """
    files = [path for path in find_files(log) if _may_hold(path, sought)]
    if not files:
        return Looked((), 0, 0)
    try:
        return _looked(files, sought)
    except duckdb.Error as error:
        bad = {**unreadable(files), **damaged(files)}
        if not bad or len(bad) == len(files):
            raise BadLog(f"{log} cannot be read: {str(error).partition(chr(10))[0]}") from error
    return _looked([path for path in files if path not in bad], sought)


def _may_hold(path: Path, sought: Sought) -> bool:
    """A decision lies under the day on which it was finalised, which is none before it was made."""
    since_ms = sought.since_ms or 0
    if sought.decision_id:
        since_ms = decided_ms(sought.decision_id)
    day = path.parent.name.removeprefix("dt=")
    earliest = dt.datetime.fromtimestamp(max(0, since_ms - _DAY_MS) / 1000, dt.UTC).date().isoformat()
    return day >= earliest or not path.parent.name.startswith("dt=")


def _looked(files: Sequence[Path], sought: Sought) -> Looked:
    listed = "[" + ", ".join(literal(str(path)) for path in files) + "]"
    source = f"read_parquet({listed}, union_by_name = true, hive_partitioning = false)"
    with connect(threads=1, memory_limit=_MEMORY) as connection:
        there = {row[0] for row in connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()}
        added = ", ".join(name if name in there else f"CAST(NULL AS {_TYPES[name]})" for name in _ADDED)
        conditions = list(_conditions(sought))
        where = " AND ".join([*[text for text, _ in conditions], "true"])
        values = [value for _, value in conditions]
        more = ", arms, event, slot" if sought.decision_id else ""
        order = "slot" if sought.decision_id else "decided_at DESC, decision_id DESC"
        asked = (
            f"SELECT {_COLUMNS}, {added}{more} FROM {source} WHERE {where}"
            f" ORDER BY {order} LIMIT {int(sought.limit)}"
        )
        found = connection.execute(asked, values).fetchall()
        rows = connection.execute(f"SELECT count(*) FROM {source}").fetchone()
    whole = _one(found) if sought.decision_id else tuple([LoggedDecision(*row) for row in found])
    return Looked(whole, rows[0] if rows else 0, len(files))


def _conditions(sought: Sought) -> Iterator[tuple[str, object]]:
    for column in ("decision_id", "session_id", "unit_id", "arm", "source"):
        if value := getattr(sought, column):
            yield f"{column} = ?", value
    if not sought.decision_id and not sought.arm:
        yield "slot = ?", 0
    for sign, at_ms in ((">=", sought.since_ms), ("<", sought.until_ms)):
        if at_ms is not None:
            moment = dt.datetime.fromtimestamp(at_ms / 1000, dt.UTC)
            yield f"decided_at {sign} CAST(? AS TIMESTAMPTZ)", moment.isoformat()


def _one(rows: Sequence[tuple[Any, ...]]) -> tuple[LoggedDecision, ...]:
    """The rows of one decision, its first slot's first, as one."""
    if not rows:
        return ()
    *first, arms, event, _ = rows[0]
    one = LoggedDecision(*first)
    slots = tuple([row[_REWARD] for row in rows[1:]])
    return (replace(one, arms=tuple(arms), event=event, slot_rewards=slots),)


def main(argv: Sequence[str], read: Callable[[], bytes], write: Callable[[bytes], object]) -> None:
    """Answer one question."""
    parent, log = argv
    tie_to(int(parent))
    os.nice(_NICENESS)
    try:
        answer = look(Path(log), msgspec.json.decode(read(), type=Sought))
    except (SidearmError, BadId, OSError) as error:
        answer = Looked((), 0, 0, str(error))
    write(msgspec.json.encode(answer))


if __name__ == "__main__":
    main(sys.argv[1:], sys.stdin.buffer.read, sys.stdout.buffer.write)
