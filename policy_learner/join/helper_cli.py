"""``sidearm joiner`` and ``sidearm archiver``: the helpers of a learner that runs elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

AppFolder = Annotated[Path, typer.Argument(help="The application's folder.", envvar="SIDEARM_APP")]
DataOption = Annotated[Path, typer.Option(help="The data folder.", envvar="SIDEARM_DATA")]


def joiner_command(app: AppFolder, data: DataOption = Path("data")) -> None:
    """Close decisions whose horizon has ended, until SIGTERM; start as many as there is work for."""
    from policy_learner.joiner import main

    raise typer.Exit(main(["--app", str(app), "--data", str(data)]))


def archiver_command(app: AppFolder, data: DataOption = Path("data")) -> None:
    """Write, compact and ship the log, until SIGTERM; the learner must run with `archiver = "apart"`."""
    from policy_learner.archiver import main

    raise typer.Exit(main(["--app", str(app), "--data", str(data)]))
