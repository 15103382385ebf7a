"""``make faults``: real processes under every fault, then every mutant through the simulation.

``python -m tests.faults --seconds 60 --seed 1``; ``--mutant-seeds 0`` leaves the mutants out.
"""

from __future__ import annotations

import argparse
import sys

from tests.faults import gate, processes_run


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="of load and faults")
    parser.add_argument("--seed", type=int, default=1, help="chooses the faults")
    parser.add_argument("--mutant-seeds", type=int, default=gate.SEEDS, help="within which each is caught")
    arguments = parser.parse_args(argv)
    told = ["--seconds", str(arguments.seconds), "--seed", str(arguments.seed)]
    broken = processes_run.main(told)
    if arguments.mutant_seeds:
        broken = gate.main(["--seeds", str(arguments.mutant_seeds)]) or broken
    return broken


if __name__ == "__main__":
    sys.exit(main())
