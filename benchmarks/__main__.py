"""``make bench``: run the benchmarks, print a table, write ``build/bench.json``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import learning, serving
from benchmarks.figures import Figure, write

OUT = Path("build/bench.json")
SUITES = {
    "serving": lambda: serving.figures(Path("build/bench-data")),
    "learner": learning.figures,
}


def main() -> int:
    """Run what was asked for; exit code 1 when a gate was missed, 2 when a tool is missing."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "suites", nargs="*", metavar="SUITE", help=f"{', '.join(SUITES)}; all when none is named"
    )
    chosen = parser.parse_args().suites or list(SUITES)
    if unknown := [name for name in chosen if name not in SUITES]:
        parser.error(f"no suite {unknown[0]!r}: choose from {', '.join(SUITES)}")
    console = Console()
    measured: list[Figure] = []
    for name in chosen:
        console.print(f"[dim]{name} …")
        try:
            measured += SUITES[name]()
        except serving.WrkMissing as missing:
            console.print(str(missing), style="red")
            return 2
    write(measured, OUT)
    console.print(_table(measured))
    console.print(f"written to {OUT}")
    return 0 if all(f.as_row()["pass"] for f in measured) else 1


def _table(measured: list[Figure]) -> Table:
    table = Table("figure", "value", "yardstick", "ratio", "gate")
    for f in measured:
        gate = "–" if f.gate is None else f"{f.gate}"
        table.add_row(
            f.name,
            f"{f.value:,.2f} {f.unit}",
            f"{f.yardstick:,.2f} {f.yardstick_name}",
            f"{f.ratio:.3f}",
            gate,
        )
    return table


if __name__ == "__main__":
    sys.exit(main())
