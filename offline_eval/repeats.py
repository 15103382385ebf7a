"""Rows that stand twice in a log: the first, in the order of the files, counts.

They are told by where they lie and not by a join, which would lose the order of the log: the same log is to
give the same last digit, and a learner learns in its order.
"""

# ruff: noqa: S608 - SQL is made of our own names, and values go through engine.literal
from __future__ import annotations

from itertools import groupby
from typing import NamedTuple

import duckdb

from offline_eval.engine import literal

_MOST_RUNS = 1_000
"""More, and looking them up for every row would take longer than the join."""


class Repeats(NamedTuple):
    """How rows of ``raw`` are told to be repeats."""

    condition: str
    """True for a repeat."""
    join: str = ""
    """What stands after ``raw``."""


def find_repeats(connection: duckdb.DuckDBPyConnection) -> Repeats:
    """Look for them in the view ``raw``; there should be none.

    Hashes are counted, which is cheap, and only if that finds something are the ids grouped.
    """
    rows, distinct = connection.execute(
        "SELECT count(*), count(DISTINCT hash(decision_id, slot)) FROM raw"
    ).fetchall()[0]
    if distinct == rows:
        return Repeats("false")
    connection.execute("""
        CREATE OR REPLACE TABLE repeats AS
        SELECT decision_id, slot, min((filename, file_row_number))[1] AS first_file,
               min((filename, file_row_number))[2] AS first_row
        FROM raw GROUP BY decision_id, slot HAVING count(*) > 1""")
    runs = _runs(connection)
    return _by_place(runs) if len(runs) <= _MOST_RUNS else _BY_JOIN


_BY_JOIN = Repeats(
    "repeats.decision_id IS NOT NULL AND (raw.filename, raw.file_row_number) <> (first_file, first_row)",
    "LEFT JOIN repeats USING (decision_id, slot)",
)


def _runs(connection: duckdb.DuckDBPyConnection) -> list[tuple[str, int, int]]:
    """File, first and last row of neighbours that all are repeats."""
    return connection.execute(f"""
        WITH found AS (
            SELECT filename, file_row_number AS place FROM raw {_BY_JOIN.join} WHERE {_BY_JOIN.condition}),
        numbered AS (
            SELECT *, place - row_number() OVER (PARTITION BY filename ORDER BY place) AS run FROM found)
        SELECT filename, min(place), max(place) FROM numbered GROUP BY filename, run ORDER BY 1, 2
        """).fetchall()


def _by_place(runs: list[tuple[str, int, int]]) -> Repeats:
    cases = "".join(
        f" WHEN {literal(file)} THEN "
        + " OR ".join(f"file_row_number BETWEEN {first} AND {last}" for _, first, last in places)
        for file, places in groupby(runs, key=lambda run: run[0])
    )
    return Repeats(f"CASE filename{cases} ELSE false END" if cases else "false")
