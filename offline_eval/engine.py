"""DuckDB as we use it: in memory, bounded, and without writing anywhere that was not named."""

from __future__ import annotations

from pathlib import Path

import duckdb


def connect(threads: int = 0, memory_limit: str = "", spill: Path | None = None) -> duckdb.DuckDBPyConnection:
    """A connection of its own.

    Args:
        threads: 0 for one per core.
        memory_limit: such as ``"1GB"``; empty for DuckDB's default.
        spill: folder for what does not fit; None: nothing is spilled (its default would be ``.tmp`` in the
            working folder).
    """
    connection = duckdb.connect()
    # Batches of a log are scored in the order of the log, so that the same log gives the same last digit.
    connection.execute("SET preserve_insertion_order = true")
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(f"SET temp_directory = {literal(str(spill) if spill else '')}")
    if threads:
        connection.execute(f"SET threads = {int(threads)}")
    if memory_limit:
        connection.execute(f"SET memory_limit = {literal(memory_limit)}")
    return connection


def literal(text: str) -> str:
    """``text`` as an SQL string.

    >>> literal("o'clock")
    "'o''clock'"
    """
    return "'" + text.replace("'", "''") + "'"
