"""``sidearm status``: what waits, what was learned, and whether the books balance."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from sidecar.contracts.layout import DataFolder


def status_command(
    app: Annotated[Path, typer.Argument(help="The application's folder.", envvar="SIDEARM_APP")],
    data: Annotated[Path, typer.Option(help="The data folder.", envvar="SIDEARM_DATA")] = Path("data"),
) -> None:
    """Show the learner's status and the books; exit code 1 when the books do not balance."""
    from rich.console import Console
    from rich.table import Table

    from decision_service.cli.store import store_url
    from sidecar.contracts.application import load_application
    from sidecar.contracts.errors import BadSettings
    from sidecar.contracts.keys import Keys, learner_status
    from sidecar.contracts.store import Scripts, StoreError, connect
    from sidecar.contracts.upkeep import read_books

    application = load_application(app)
    url = store_url(DataFolder(data), os.environ)
    console = Console()
    with connect(url) as client:
        try:
            client.ping()
        except (StoreError, OSError) as error:
            raise BadSettings(f"no store answers at {url} ({error}): is `sidearm up` running?") from error
        scripts = Scripts.on(client)
        balances = [read_books(scripts, Keys(application.name, p)) for p in range(application.partitions)]
        learner = client.hgetall(learner_status(application.name))
    table = Table("learner", "", box=None, pad_edge=False)
    for name, value in sorted(learner.items()):
        table.add_row(name.decode(), value.decode())
    console.print(table if learner else "no learner has run for this application yet")
    decisions, rewards = (sum(b[i] for b in balances) for i in (0, 1))
    console.print(f"books: decisions {decisions}, rewards {rewards} (both must be 0)")
    if decisions or rewards:
        raise typer.Exit(1)
