"""What ``offline_eval`` is measured by, each in a process of its own, so that memory is that of it alone.

``python -m benchmarks.offline_eval_child FOLDER TRIES JOB [JOB …]`` does the jobs in turn, TRIES times, and
prints seconds by job, the process's largest resident memory, and what the last job found.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import duckdb

from benchmarks.offline_eval_obp import peak_mb
from offline_eval.clusters import bucket_sums
from offline_eval.diagnostics import effective_rows
from offline_eval.engine import connect, literal
from offline_eval.estimators import Estimator, estimators
from offline_eval.intervals.bootstrap import bootstrap, resampled
from offline_eval.intervals.normal import normal
from offline_eval.scan import partial
from offline_eval.terms import Plan

CENTRE = 0.15
LEAN = Plan((), against_logger=False, propensity_range=False)
FIVE = ("ips", "snips", "dm", "dr", "sndr")
_MEMORY_OF_100M = "1GB"

Found = dict[str, float]


def five() -> list[Estimator]:
    """The five estimators."""
    return [one for one in estimators() if one.name in FIVE]


def floor(connection: duckdb.DuckDBPyConnection, relation: str) -> Found:
    """The yardstick: the same columns, summed."""
    columns = ("reward", "propensity", "e", "q", "v")
    sums = ", ".join(f"sum({one})" for one in columns)
    (row,) = connection.execute(f"SELECT {sums} FROM {relation}").fetchall()
    return dict(zip(columns, row, strict=True))


def scan(connection: duckdb.DuckDBPyConnection, relation: str) -> Found:
    """Five estimates with their intervals, and the effective rows."""
    sums = partial(connection, relation, CENTRE, LEAN)
    found = {"ess": effective_rows(sums), "rows": float(sums.rows)}
    for one in five():
        fit = one.fit(sums)
        low, high = normal(sums, fit)
        found |= {one.name: fit.value, f"{one.name}_low": low, f"{one.name}_high": high}
    return found


def resample(connection: duckdb.DuckDBPyConnection, relation: str) -> Found:
    """1,000 resamples of three estimators, the scan included."""
    sums = partial(connection, relation, CENTRE, LEAN)
    buckets = bucket_sums(connection, relation, CENTRE, LEAN)
    drawn = resampled(buckets, 1_000)
    found = {}
    for one in five():
        if one.name in ("ips", "snips", "dr"):
            low, high = bootstrap(one.fit(sums), buckets, drawn)
            found |= {f"{one.name}_low": low, f"{one.name}_high": high}
    return found


def jobs(folder: Path) -> dict[str, Callable[[], Found]]:
    """Name to what it does."""

    def file(name: str) -> str:
        return f"read_parquet({literal(str(folder / f'{name}.parquet'))})"

    scored, connection = file("scored"), connect()
    small = connect(memory_limit=_MEMORY_OF_100M)
    ten_times = f"read_parquet([{', '.join([literal(str(folder / 'scored.parquet'))] * 10)}])"
    both = f"{file('decisions')} POSITIONAL JOIN {file('scores')}"
    split = f"(SELECT reward, propensity, e, q, v FROM {both})"
    return {
        "floor": lambda: floor(connection, scored),
        "scan": lambda: scan(connection, scored),
        "split": lambda: scan(connection, split),
        "bootstrap": lambda: resample(connection, scored),
        "hundred": lambda: scan(small, ten_times),
        "first": lambda: scan(connection, file("first")),
    }


def main() -> None:
    """Do the jobs and print one line of JSON."""
    folder, tries, names = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    known = jobs(folder)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    found: Found = {}
    for _ in range(tries):
        for name in names:
            begun = time.perf_counter()
            found = known[name]()
            seconds[name].append(time.perf_counter() - begun)
    print(json.dumps({"seconds": seconds, "peak_mb": peak_mb(), "found": found}))


if __name__ == "__main__":
    main()
