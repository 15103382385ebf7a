"""``sidearm doctor``: what is missing on this machine, and how to get it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer


def doctor_command(
    data: Annotated[Path, typer.Option(help="The data folder.", envvar="SIDEARM_DATA")] = Path("data"),
    port: Annotated[int, typer.Option(help="Port of the decision service.", min=1, max=65535)] = 8000,
) -> None:
    """Look at this machine: what is missing, and how to get it; exit code 1 when something needed is."""
    from rich.console import Console
    from rich.table import Table

    from decision_service.cli.examinations import examine
    from sidecar.contracts.layout import DataFolder

    findings = examine(DataFolder(data), port, os.environ)
    colours = {"fine": "green", "poor": "yellow", "missing": "red"}
    table = Table("", "what", "found", "what to do", box=None, pad_edge=False)
    for finding in findings:
        mark = f"[{colours[finding.state]}]{finding.state}"
        table.add_row(mark, finding.what, finding.found, finding.remedy)
    Console().print(table)
    if any(finding.state == "missing" for finding in findings):
        raise typer.Exit(1)
