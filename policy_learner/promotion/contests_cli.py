"""``sidearm models contests``: what each model earns, and how challengers and shadows stand."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import typer

from policy_learner.models.opened import DATA, SHOP, AppFolder, DataOption, open_place

# Numbers, redis and rich take a while to import: `sidearm --help` must not.
if TYPE_CHECKING:
    from rich.table import Table

    from sidecar.contracts.contests import Shown


def contests_command(app: AppFolder = SHOP, data: DataOption = DATA) -> None:
    """Show what each model earns, how challengers and shadows stand, and who took whose place by itself."""
    from rich.console import Console

    from sidecar.contracts import keys
    from sidecar.contracts.contests import decode_shown

    with open_place(app, data) as opened:
        shown = decode_shown(cast("bytes | None", opened.client.hget(keys.contests(opened.name), "shown")))
    if not shown.models:
        typer.echo("no decision of several models was finalised yet")
        return
    console = Console()
    for table in (_models(shown), _contests(shown), _promotions(shown)):
        if table.row_count:
            console.print(table)
    console.print(f"promotion is {'automatic' if shown.automatic else 'by hand'}", highlight=False)


def _models(shown: Shown) -> Table:
    from rich.table import Table

    table = Table("model", "version", "decisions", "AUC", "earns, ± standard error", box=None, pad_edge=False)
    for one in shown.models:
        figures = one.progressive
        earns = f"{_figure(figures.snips)} ± {_figure(figures.snips_error)}"
        table.add_row(one.name, str(one.version), f"{figures.examples:,}", _figure(figures.auc), earns)
    return table


def _contests(shown: Shown) -> Table:
    from rich.table import Table

    columns = (
        "against the champion",
        "earns more by",
        "at least",
        "at most",
        "error",
        "decisions",
        "verdict",
    )
    table = Table(*columns, box=None, pad_edge=False)
    for one in shown.contests:
        bounds = [_figure(value) for value in (one.difference, one.lower, one.upper, one.error)]
        table.add_row(one.challenger, *bounds, f"{one.decisions:,}", one.verdict)
    return table


def _promotions(shown: Shown) -> Table:
    from datetime import UTC, datetime

    from rich.table import Table

    table = Table("when", "what", "champion", "in place of", "earns more by", box=None, pad_edge=False)
    for one in shown.promotions:
        when = datetime.fromtimestamp(one.at_ms / 1000, UTC).isoformat(sep=" ", timespec="seconds")[:19]
        least = f"{_figure(one.contest.lower)} to {_figure(one.contest.upper)}"
        table.add_row(when, one.kind, one.champion, one.predecessor, least)
    return table


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"
