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

from tests.faults.mutants import MUTANTS, Mutant, copy_with

SEEDS = 2000
"""A mutant must be caught within as many."""
TIMEOUT_S = 300.0
_CAUGHT = re.compile(r"^seed (\d+): (I\d[^\n]*)", re.MULTILINE)


class Verdict(NamedTuple):
    mutant: Mutant
    caught: bool
    told: str
    """The seed and the invariant, or what went wrong."""
    took_s: float


def judge(mutant: Mutant, seeds: int = SEEDS, first: int = 0) -> Verdict:
    """Whether the simulation catches a mutant.

    Raises:
        StaleMutant: its text is not in the source.
    """
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        copy_with(mutant, Path(folder))
        command = [sys.executable, "-m", "tests.faults.simulate", "--seeds", f"{first}:{first + seeds}"]
        environ = {**os.environ, "PYTHONPATH": folder, "PYTHONDONTWRITEBYTECODE": "1"}
        try:
            done = subprocess.run(
                command, cwd=folder, env=environ, capture_output=True, text=True, timeout=TIMEOUT_S
            )
        except subprocess.TimeoutExpired:
            return Verdict(mutant, False, f"not within {TIMEOUT_S:g} s", TIMEOUT_S)
    took_s = time.monotonic() - began
    found = _CAUGHT.search(done.stdout)
    if found:
        return Verdict(mutant, True, f"seed {found[1]}: {found[2]}", took_s)
    return Verdict(mutant, False, (done.stdout + done.stderr)[-600:].strip(), took_s)


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
