"""A Parquet log as a view in DuckDB: its files found, its columns checked, every row judged.

The view ``log`` has the columns of ``sidecar.contracts.columns`` and ``status``: empty for a row that counts,
else the reason (``offline_eval.rejections``) for which it does not. Nothing is read into memory here.
"""

# ruff: noqa: S608 - SQL is made of our own names, and values go through engine.literal
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import duckdb
import msgspec

from offline_eval.engine import literal
from offline_eval.errors import BadLog
from offline_eval.readable_files import Lost, unreadable
from offline_eval.rejections import LOG_RULES, reason_sql
from offline_eval.repeats import find_repeats
from sidecar.contracts.catalogue import Catalogue, decode_arms
from sidecar.contracts.columns import ADDED_COLUMNS, DECISION_COLUMNS
from sidecar.contracts.errors import BadManifest
from sidecar.contracts.log_files import files_below

VIEW = "log"


@dataclass(frozen=True)
class Window:
    """Which rows of the log are looked at. Empty fields do not restrict."""

    since: datetime | None = None
    """Decided at or after."""
    until: datetime | None = None
    """Decided before."""
    as_of: datetime | None = None
    """Finalised at or before: what was known then. An estimate as of then never changes any more."""
    policy: str = ""
    """The logging policy, where a log holds several."""


@dataclass(frozen=True)
class Log:
    """An open log: the view ``log`` of ``connection``."""

    connection: duckdb.DuckDBPyConnection
    folder: Path
    files: tuple[Path, ...]
    """Those that are read."""
    window: Window
    lost: Mapping[Path, Lost] = field(default_factory=dict)
    """Those that cannot be, and why."""

    def catalogue(self, version: str) -> Catalogue:
        """The arms that decisions name by ``version``.

        Raises:
            BadLog: the log does not hold them, or what it holds is torn.
        """
        path = self.folder / "catalogues" / f"{version}.json"
        try:
            return Catalogue(version, decode_arms(path.read_bytes()))
        except FileNotFoundError:
            raise BadLog(f"{path} is missing: scoring needs the arms of catalogue {version!r}") from None
        except (msgspec.MsgspecError, OSError) as error:
            raise BadLog(f"{path} cannot be read: {error}") from error


def open_log(
    connection: duckdb.DuckDBPyConnection,
    folder: Path,
    window: Window | None = None,
    damaged: Mapping[Path, Lost] | None = None,
) -> Log:
    """Make the view ``log`` of an application's log folder, such as ``data/log/shop``.

    Files that cannot be read are left out and told of (``Log.lost``).

    Args:
        connection: where the view is made.
        folder: of the log.
        window: which rows; all by default.
        damaged: files that are known to be (``readable_files.damaged``).

    Raises:
        BadLog: no Parquet file there, or none that is a decision log.
    """
    window = window or Window()
    files, lost = _sound(folder, damaged or {})
    listed = "[" + ", ".join(literal(str(path)) for path in files) + "]"
    source = (
        f"read_parquet({listed}, union_by_name = true, hive_partitioning = false, filename = true,"
        " file_row_number = true)"
    )
    columns = ", ".join(["*", *_added(_columns(connection, source))])
    connection.execute(f"CREATE OR REPLACE VIEW raw AS SELECT {columns} FROM {source} WHERE {_where(window)}")
    repeats = find_repeats(connection)
    names = "".join(f" WHEN {place} THEN '{rule.reason}'" for place, rule in enumerate(LOG_RULES, 1))
    connection.execute(f"""
        CREATE OR REPLACE VIEW {VIEW} AS
        WITH marked AS (
            SELECT raw.*, {repeats.condition} AS is_repeat FROM raw {repeats.join}
        )
        SELECT *, CASE {reason_sql(LOG_RULES)}{names} ELSE '' END AS status FROM marked""")
    return Log(connection, folder, files, window, lost)


def _sound(folder: Path, damaged: Mapping[Path, Lost]) -> tuple[tuple[Path, ...], dict[Path, Lost]]:
    """The files that can be read, and those that cannot.

    Raises:
        BadLog: there is none that can.
    """
    files = find_files(folder)
    lost = {**unreadable(path for path in files if path not in damaged), **damaged}
    sound = tuple([path for path in files if path not in lost])
    if not sound:
        path, first = next(iter(lost.items()))
        raise BadLog(f"{folder} cannot be read: no file is a decision log: {path.name}: {first.detail}")
    return sound, lost


def find_files(folder: Path) -> tuple[Path, ...]:
    """The decision files of a log that count, in the order of their names: after compaction not all do.

    Raises:
        BadLog: there is none.
    """
    inside = folder / "decisions"
    root = inside if inside.is_dir() else folder
    try:
        files = files_below(root)
    except BadManifest as error:
        raise BadLog(str(error)) from error
    if not files:
        raise BadLog(f"{folder} holds no decisions/**/*.parquet: name a log folder, such as data/log/shop")
    return tuple(files)


def _columns(connection: duckdb.DuckDBPyConnection, source: str) -> set[str]:
    """The columns that are there: all but those that came later."""
    return {row[0] for row in connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()}


def _added(found: set[str]) -> list[str]:
    """What no file of an earlier log has, as nulls."""
    kinds = {"string": "VARCHAR", "bool": "BOOLEAN", "float64": "DOUBLE"}
    lacking = [
        column for column in DECISION_COLUMNS if column.name in ADDED_COLUMNS and column.name not in found
    ]
    return [f"CAST(NULL AS {kinds[column.type]}) AS {column.name}" for column in lacking]


def _where(window: Window) -> str:
    conditions = [
        f"{column} {sign} CAST({literal(moment.isoformat())} AS TIMESTAMPTZ)"
        for column, sign, moment in (
            ("decided_at", ">=", window.since),
            ("decided_at", "<", window.until),
            ("finalised_at", "<=", window.as_of),
        )
        if moment is not None
    ]
    if window.policy:
        conditions.append(f"policy = {literal(window.policy)}")
    return " AND ".join(conditions) or "true"
