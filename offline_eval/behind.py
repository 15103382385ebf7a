"""``python -m offline_eval.behind PARENT …``: ``sidearm evaluate``, behind everything else on the machine.

It dies with its parent: what it writes is written whole or not at all, and whoever is started next asks anew.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

import typer

from offline_eval.cli import evaluate_command

_PR_SET_PDEATHSIG = 1
_NICENESS = 19


def main(argv: Sequence[str]) -> None:
    """Evaluate; what follows the parent's process id is what ``sidearm evaluate`` takes."""
    parent, *rest = argv
    _tie_to(int(parent))
    os.nice(_NICENESS)
    app = typer.Typer(add_completion=False)
    app.command()(evaluate_command)
    app(rest)


def _tie_to(parent: int) -> None:
    """End when the parent does."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before the line above: no signal would ever come
        sys.exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
