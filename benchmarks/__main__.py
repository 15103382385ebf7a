"""``make bench``: run the benchmarks, print a table, write ``build/bench.json``.

``make bench ARGS="feature_graph B3 B5"`` runs two gates of one suite.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from rich.console import Console

from benchmarks import (
    client,
    doors,
    failures,
    hostile,
    learning,
    models,
    offline_eval,
    rolling,
    serving_suite,
)
from benchmarks.feature_graph import suite as feature_graph
from benchmarks.feature_graph.gates import MODULES as GATES
from benchmarks.feature_graph_http import http_figures
from benchmarks.figures import Figure, Row, write
from benchmarks.learner import freshness, isolation, lagging, loop, pending, restart
from benchmarks.serving_suite import PIECES
from benchmarks.wrk import WrkMissing

OUT = Path("build/bench.json")
Suite = Callable[[list[str], Callable[[str], None]], Iterable[Row]]
SUITES: dict[str, Suite] = {
    "serving": lambda gates, tell: serving_suite.figures(Path("build/bench-data"), tell),
    **{
        name: lambda gates, tell, piece=piece: piece(Path("build/bench-data"))
        for name, piece in PIECES.items()
    },
    "failures": lambda gates, tell: failures.figures(Path("build/bench-failures")),
    "hostile": lambda gates, tell: hostile.figures(Path("build/bench-hostile")),
    "rolling": lambda gates, tell: rolling.figures(Path("build/bench-rolling")),
    "client": lambda gates, tell: client.figures(),
    "doors": lambda gates, tell: doors.figures(Path("build/bench-doors")),
    "models": lambda gates, tell: models.figures(),
    "learner": lambda gates, tell: learning.figures(),
    "learner_loop": lambda gates, tell: loop.figures(),
    "learner_pending": lambda gates, tell: pending.figures(),
    "learner_restart": lambda gates, tell: restart.figures(),
    "learner_isolated": lambda gates, tell: isolation.figures(),
    "learner_lagging": lambda gates, tell: lagging.figures(),
    "learner_fresh": lambda gates, tell: freshness.figures(),
    "offline_eval": lambda gates, tell: offline_eval.figures(Path("build/bench-data/offline_eval"), tell),
    "quality": lambda gates, tell: _quality(),
    "feature_graph": feature_graph.rows,
    "feature_graph_http": lambda gates, tell: http_figures(),
}


def _quality() -> Iterable[Row]:
    from benchmarks.quality import suite  # scikit-learn takes a second to import, and only this needs it

    return suite.figures()


def main() -> int:
    """Run what was asked for; exit code 1 when a gate was missed, 2 when a tool is missing."""
    chosen, gates = _asked_for()
    console = Console()
    measured: list[Row] = []
    for name in chosen:
        console.print(f"[dim]{name} …")
        try:
            measured += SUITES[name](gates, lambda line: console.print(line, style="dim", highlight=False))
        except WrkMissing as missing:
            console.print(str(missing), style="red")
            return 2
    write(measured, OUT)
    console.print(table(measured), highlight=False, markup=False, soft_wrap=True)
    console.print(f"written to {OUT}")
    return 1 if any(row.passed is False for row in measured) else 0


def _asked_for() -> tuple[list[str], list[str]]:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names",
        nargs="*",
        metavar="SUITE",
        help=f"{', '.join(SUITES)}; all when none is named. Gates of feature_graph after it: B1 … B10",
    )
    names = parser.parse_args().names
    if unknown := [name for name in names if name not in SUITES and name not in GATES]:
        parser.error(f"no suite or gate {unknown[0]!r}: choose from {', '.join((*SUITES, *GATES))}")
    gates = [name for name in names if name in GATES]
    suites = [name for name in names if name in SUITES] or (
        [] if gates else [name for name in SUITES if name not in PIECES]
    )
    return suites or ["feature_graph"], gates


def table(measured: list[Row]) -> str:
    """A line a row: ratio, gate, what became of it, and the two sides."""
    width = max((len(row.name) for row in measured), default=0)
    return "\n".join(f"{row.name:<{width}}  {_told(row)}" for row in measured)


def _told(row: Row) -> str:
    if not isinstance(row, Figure):
        return f"{'absent' if row.passed is None else 'BROKEN'}: {row.why}"
    word = "" if row.gate is None else {True: "pass", False: "MISSED", None: "pass so far"}[row.passed]
    beside = f"{row.value:,.2f} {row.unit} beside {row.yardstick:,.2f} ({row.yardstick_name})"
    lacks = f"; absent: {row.lacks}" if row.lacks else ""
    return f"{row.ratio:8.3f}  {row.gate_text:<7} {word:<6}  {beside}{lacks}"


if __name__ == "__main__":
    sys.exit(main())
