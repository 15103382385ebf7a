"""``sidearm import`` and ``sidearm export``: other people's logs in, ours out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from sidecar.contracts.errors import SidearmError

# DuckDB and Polars take half a second to import: `sidearm --help` must not.
if TYPE_CHECKING:
    from collections.abc import Callable

    from offline_eval.interchange.checking import Imported

_BAD_INPUT = 2
_Into = Annotated[Path, typer.Option(help="Folder of the new log, such as data/log/theirs.")]
_File = Annotated[Path, typer.Argument(help="What to read.")]

export_app = typer.Typer(help="Our log in the forms of other systems.", no_args_is_help=True)


def add_imports(app: typer.Typer) -> None:
    """The commands, into the group ``sidearm import``."""
    app.command("dsjson")(import_dsjson_command)
    app.command("open-bandit")(import_open_bandit_command)
    app.command("table")(import_table_command)


def import_dsjson_command(file: _File, into: _Into) -> None:
    """VW's DSJSON lines as a log to evaluate on, and what is wrong with it."""
    from offline_eval.interchange.dsjson_in import import_dsjson

    _import("dsjson", lambda: import_dsjson(file, into))


def import_open_bandit_command(
    file: _File, into: _Into, policy: Annotated[str, typer.Option(help="Who logged.")] = "random"
) -> None:
    """A campaign's CSV of the Open Bandit Dataset as a log to evaluate on."""
    from offline_eval.interchange.open_bandit import import_open_bandit

    _import("open-bandit", lambda: import_open_bandit(file, into, policy))


def import_table_command(
    file: _File,
    into: _Into,
    column: Annotated[
        list[str] | None,
        typer.Option(help="What a column is: arm=item, propensity=p, reward=clicked, unit_id=user, …"),
    ] = None,
    context: Annotated[list[str] | None, typer.Option(help="A column that is a feature.")] = None,
) -> None:
    """A Parquet or CSV table of decisions as a log to evaluate on."""
    _import("table", lambda: _import_table(file, into, column or [], context or []))


@export_app.callback()
def _group() -> None:
    """Our log in the forms of other systems."""


@export_app.command("dsjson")
def export_dsjson_command(
    file: Annotated[Path, typer.Argument(help="What to write.")],
    log: Annotated[Path, typer.Option(help="An application's log folder.")] = Path("data/log/shop"),
) -> None:
    """The decisions that count as VW's DSJSON: `vw --dsjson` learns from it."""
    from offline_eval.interchange.dsjson_out import export_dsjson

    try:
        counts = export_dsjson(log, file)
    except SidearmError as error:
        _refuse("export dsjson", error)
    written, several = counts.pop("written"), counts.pop("of_several_slots")
    others = "".join(f"; {count:,} rows {reason}" for reason, count in counts.items())
    typer.echo(f"{written:,} lines in {file}, {several:,} of them of several slots{others}")


def _import_table(file: Path, into: Path, named: list[str], context: list[str]) -> Imported:
    import msgspec
    import polars as pl

    from offline_eval.errors import BadInput
    from offline_eval.interchange.frames import Columns, import_frame

    pairs = {one.partition("=")[0]: one.partition("=")[2] for one in named}
    try:
        columns = msgspec.convert({**pairs, "context": context}, Columns)
        frame = pl.read_csv(file, try_parse_dates=True) if file.suffix == ".csv" else pl.read_parquet(file)
    except msgspec.ValidationError as error:
        raise BadInput(f"--column: {error}; legal: {', '.join(Columns.__struct_fields__)}") from error
    except (OSError, pl.exceptions.PolarsError) as error:
        raise BadInput(f"{file}: {str(error).splitlines()[0]}") from error
    return import_frame(frame, into, columns)


def _import(what: str, make: Callable[[], Imported]) -> None:
    try:
        made = make()
    except SidearmError as error:
        _refuse(f"import {what}", error)
    skipped = "".join(f"; {count:,} lines {reason}" for reason, count in made.skipped.items())
    typer.echo(f"{made.summary.counted:,} of {made.summary.rows:,} rows count in {made.folder}{skipped}")
    for reason, count in made.summary.left_out.items():
        typer.echo(f"  left out: {count:,} {reason}")
    typer.echo(f"  {made.shown_arms:,} of {made.eligible_arms:,} eligible arms were ever shown;"
               f" smallest propensity {made.least_propensity}")  # fmt: skip
    for check in made.checks:
        typer.echo(f"  {check.level:7} {check.text}")


def _refuse(what: str, error: SidearmError) -> NoReturn:
    typer.echo(f"sidearm {what}: {error}", err=True)
    raise typer.Exit(_BAD_INPUT) from error
