"""``python -m offline_eval.behind PARENT …``: ``sidearm evaluate``, behind everything else on the machine.

It dies with its parent: what it writes is written whole or not at all, and whoever is started next asks anew.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import typer

from offline_eval.cli import evaluate_command
from offline_eval.tied import tie_to

_NICENESS = 19


def main(argv: Sequence[str]) -> None:
    """Evaluate; what follows the parent's process id is what ``sidearm evaluate`` takes."""
    parent, *rest = argv
    tie_to(int(parent))
    os.nice(_NICENESS)
    app = typer.Typer(add_completion=False)
    app.command()(evaluate_command)
    app(rest)


if __name__ == "__main__":
    main(sys.argv[1:])
