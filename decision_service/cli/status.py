"""``sidearm status``: what waits, what was learned, and whether the books balance."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

_PATIENCE_S = 3.0
"""For each reply of the store: somebody looks at this because something may be wrong with it."""


def status_command(
    app: Annotated[Path, typer.Argument(help="The application's folder.", envvar="SIDEARM_APP")],
    data: Annotated[Path, typer.Option(help="The data folder.", envvar="SIDEARM_DATA")] = Path("data"),
) -> None:
    """Show what is wrong, how learner and model are, and the books; exit code 1 when these are off."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from decision_service.cli.learner_rows import learner_rows
    from decision_service.cli.look import in_one_line, look
    from decision_service.cli.model_figures import models_table, tables
    from decision_service.cli.trouble import anchor, no_feature_store, troubles
    from decision_service.cli.workers import workers_table
    from sidecar.contracts.application import load_application
    from sidecar.contracts.errors import BadSettings
    from sidecar.contracts.layout import DataFolder
    from sidecar.contracts.store import StoreError, connect
    from sidecar.contracts.store_address import stores_of, without_password

    application = load_application(app)
    stores = stores_of(os.environ, DataFolder(data))
    try:
        with connect(stores.store, timeout_s=_PATIENCE_S) as client:
            seen = look(client, application)
    except (StoreError, OSError) as error:
        raise BadSettings(
            f"no store answers at {without_password(stores.store)} ({error}): is `sidearm up` running? In a "
            "cluster callers are answered meanwhile, and what happens is spooled: "
            "docs/operations.md#the-store-is-away"
        ) from error
    console = Console()
    features_away = no_feature_store(stores.features, _PATIENCE_S) if application.features else ()
    if found := [*troubles(seen), *features_away]:
        wrong = Table("what is wrong", "what to do", box=None, pad_edge=False, header_style="bold red")
        for trouble in found:
            wrong.add_row(escape(trouble.what), anchor(trouble.chapter))
        console.print(wrong)
    if seen.learner:
        table = Table("learner", "", box=None, pad_edge=False)
        for row in learner_rows(seen):
            table.add_row(*map(escape, row))
        for one in (table, *tables(seen.learner)):
            console.print(one)
    if seen.figures:
        console.print(models_table(seen.figures))
    if seen.workers:
        console.print(workers_table(seen))
    console.print(f"{application.name}: {in_one_line(seen)}", highlight=False, soft_wrap=True)
    if not seen.books.balanced:
        raise typer.Exit(1)
