"""``python -m offline_eval``: what ``sidearm evaluate`` does, for another process to start."""

from __future__ import annotations

import typer

from offline_eval.cli import evaluate_command

if __name__ == "__main__":
    typer.run(evaluate_command)
