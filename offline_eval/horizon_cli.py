"""``sidearm horizon``: how long should a decision wait for its rewards?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from offline_eval.errors import BadLog

# DuckDB, Polars and Altair take half a second to import: `sidearm --help` must not.
if TYPE_CHECKING:
    from offline_eval.horizon import HorizonReport


def horizon_command(
    log: Annotated[Path, typer.Option(help="An application's log folder.")] = Path("data/log/shop"),
    target: Annotated[
        float,
        typer.Option(help="Share of rewards and of value that a window must catch.", min=0.01, max=0.9999),
    ] = 0.95,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write everything here as JSON.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a self-contained page here.")] = None,
    png: Annotated[Path | None, typer.Option(help="Write the picture here.")] = None,
) -> None:
    """Say what share of the rewards each window would have caught, and recommend one.

    Too short a window loses the rewards that take long, and the model learns that their arms fail; too long a
    one makes models stale and fills the store. Windows longer than the present horizon are judged by the
    rewards that came late. Set the window as horizon_s in [reward] of app.toml.
    """
    from rich.console import Console

    from offline_eval.engine import connect
    from offline_eval.horizon import judge
    from offline_eval.horizon_report import print_report

    console = Console()
    with console.status("reading the log"):
        report = judge(log, connect(), target)
    print_report(report, console)
    _write(report, json_file, html, png)
    for path in (json_file, html, png):
        if path:
            console.print(f"written: {path}", soft_wrap=True, highlight=False)


def _write(report: HorizonReport, json_file: Path | None, html: Path | None, png: Path | None) -> None:
    from offline_eval.horizon_report import to_html, to_json, write_png

    try:
        if json_file:
            json_file.write_bytes(to_json(report))
        if html:
            html.write_text(to_html(report), encoding="utf-8")
        if png:
            write_png(report, png)
    except OSError as error:
        raise BadLog(f"{error.filename} cannot be written: {error.strerror}") from error
