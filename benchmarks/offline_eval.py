"""Evaluation of ten million decisions, beside the bare sum of the columns that it reads."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from benchmarks.figures import Figure, Row, median_of
from benchmarks.obp_environment import python_with_obp
from benchmarks.offline_eval_child import FIVE
from benchmarks.offline_eval_data import DENSE_ROWS, ROWS, made

_TRIES = 7
_AGREE = 1e-9


class Run(NamedTuple):
    """What a process of its own measured."""

    seconds: dict[str, float]
    """Job to the middle of its tries."""
    peak_mb: float
    found: dict[str, float]
    by: str
    """Who computed."""


def figures(folder: Path, tell: Callable[[str], None]) -> list[Row]:
    """Speed and memory of the scan, the bootstrap, separate files, a hundred million rows, and obp."""
    made(folder)
    beside, alone = _run(folder, _TRIES, "floor", "scan"), _run(folder, 1, "scan")
    split, resampled = _run(folder, _TRIES, "floor", "split"), _run(folder, 3, "bootstrap")
    hundred = _run(folder, 1, "hundred")
    return [
        _beside_floor("offline_eval.scan", beside, "scan", 2.0),
        Figure(
            "offline_eval.memory", alone.peak_mb, "MB", 200.0, "allowed", at_most=1.0, facts={"rows": ROWS},
        ),
        _beside_floor("offline_eval.separate_files", split, "split", 3.0),
        Figure(
            "offline_eval.bootstrap", resampled.seconds["bootstrap"], "s", 2.0, "allowed", at_most=1.0,
            facts={"rows": ROWS, "resamples": 1_000, "estimators": 3, "peak_mb": round(resampled.peak_mb)},
        ),
        Figure(
            "offline_eval.hundred_million", hundred.peak_mb, "MB", 1_000.0, "allowed", at_most=1.0,
            facts={"rows": 10 * ROWS, "seconds": round(hundred.seconds["hundred"], 2)},
        ),
        _beside_obp(folder, tell),
    ]  # fmt: skip


def _beside_floor(name: str, run: Run, job: str, at_most: float) -> Figure:
    ours, theirs = run.seconds[job] * 1_000, run.seconds["floor"] * 1_000
    facts = {"rows": ROWS, "estimators": list(FIVE), "effective_rows": round(run.found["ess"])}
    return Figure(name, ours, "ms", theirs, "sum of the columns", at_most=at_most, facts=facts)


def _beside_obp(folder: Path, tell: Callable[[str], None]) -> Figure:
    """obp, its load of the lists included, and ours on the same rows; each in a new process."""
    ours = _run(folder, 3, "first")
    obp = _read([python_with_obp(tell), "-m", "benchmarks.offline_eval_obp", str(folder / "dense.parquet")])
    wrong = [name for name in FIVE if abs(obp.found[name] - ours.found[name]) > _AGREE]
    if wrong:
        raise AssertionError(f"not the same estimates: {', '.join(wrong)}")
    return Figure(
        "offline_eval.obp", obp.seconds["obp"] * 1_000, "ms", ours.seconds["first"] * 1_000,
        f"ours; the value is {obp.by}, from its lists", at_least=20.0,
        facts={"rows": DENSE_ROWS, "peak_mb": round(ours.peak_mb), "obp_peak_mb": round(obp.peak_mb)},
    )  # fmt: skip


def _run(folder: Path, tries: int, *jobs: str) -> Run:
    return _read([sys.executable, "-m", "benchmarks.offline_eval_child", str(folder), str(tries), *jobs])


def _read(command: list[str]) -> Run:
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    read = json.loads(done.stdout)
    seconds = {name: median_of(tries) for name, tries in read["seconds"].items()}
    return Run(seconds, read["peak_mb"], read["found"], read.get("by", "ours"))
