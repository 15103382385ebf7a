"""The mutation gate: ``python -m tests.faults.gate`` runs the simulation on every mutant, in copies."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from tests.faults.mutant import ROOT, Mutant, copy_with
from tests.faults.mutants import MUTANTS

SEEDS = 2000
"""A mutant must be caught within as many."""
TIMEOUT_S = 600.0
_TESTS_FAILED = 1
_FAILED = re.compile(r"^FAILED \S*::(\S+ - (?:Ass|assert|Failed)[^\n]*)", re.MULTILINE)
_CAUGHT = re.compile(r"^seed (\d+): (I\d[^\n]*)", re.MULTILINE)


class Verdict(NamedTuple):
    mutant: Mutant
    caught: bool
    told: str
    """The seed and the invariant, or what went wrong."""
    took_s: float


def judge(mutant: Mutant, seeds: int = SEEDS, first: int = 0) -> Verdict:
    """Whether the simulation catches a mutant, or the tests that it names do.

    Raises:
        StaleMutant: its text is not in the source.
    """
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        copy_with(mutant, Path(folder))
        try:
            if any(mutant.tests):
                return _judged_by_tests(mutant, folder, began)
            done = _simulated(mutant.played, folder, first, first + seeds)
        except subprocess.TimeoutExpired:
            return Verdict(mutant, False, f"not within {TIMEOUT_S:g} s", TIMEOUT_S)
    found = _CAUGHT.search(done.stdout)
    if found is None:
        told = (done.stdout + done.stderr)[-600:].strip()
        return Verdict(mutant, False, told, time.monotonic() - began)
    seed = int(found[1])
    innocent = _simulated(mutant.played, str(ROOT), seed, seed + 1).returncode == 0
    told = f"seed {seed}: {found[2]}" if innocent else f"seed {seed} breaks the program as it is: {found[2]}"
    return Verdict(mutant, innocent, told, time.monotonic() - began)


def _judged_by_tests(mutant: Mutant, folder: str, began: float) -> Verdict:
    """Caught where an assertion of its tests fails, and all of them hold of the program as it is."""
    done = _tested(folder, mutant)
    failed = _FAILED.findall(done.stdout)
    if done.returncode != _TESTS_FAILED or not failed:
        return Verdict(mutant, False, (done.stdout + done.stderr)[-600:].strip(), time.monotonic() - began)
    innocent = _tested(str(ROOT), mutant).returncode == 0
    told = failed[0] if innocent else f"{failed[0]} fails for the program as it is"
    return Verdict(mutant, innocent, told, time.monotonic() - began)


def _tested(folder: str, mutant: Mutant) -> subprocess.CompletedProcess[str]:
    file, which = mutant.tests
    chosen = (file, "-k", which, "-m", "not slow")
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *chosen]
    wide = {"COLUMNS": "400"}  # a line of the summary says why only where it has the room
    environ = {**os.environ, **wide, "PYTHONPATH": folder, "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=TIMEOUT_S)


def _simulated(module: str, folder: str, first: int, end: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", module, "--seeds", f"{first}:{end}"]
    environ = {**os.environ, "PYTHONPATH": folder, "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=TIMEOUT_S)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--only", default="", help="mutants whose name contains this")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args(argv)
    chosen = [mutant for mutant in MUTANTS if arguments.only in mutant.name]
    with ThreadPoolExecutor(arguments.jobs) as pool:
        verdicts = pool.map(lambda m: judge(m, arguments.seeds, arguments.first), chosen)
        caught = sum([_say(verdict) for verdict in verdicts])
    print(f"mutants caught: {caught} of {len(chosen)}")
    return 0 if caught == len(chosen) else 1


def _say(verdict: Verdict) -> bool:
    sign = "caught    " if verdict.caught else "NOT CAUGHT"
    print(f"{sign} {verdict.took_s:5.1f} s  {verdict.mutant.name}: {verdict.told[:160]}", flush=True)
    return verdict.caught


if __name__ == "__main__":
    sys.exit(main())
