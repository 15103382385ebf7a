"""``sidearm features``: put a table of features into the feature store, and look at it there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

# Polars, redis and rich take a while to import: `sidearm --help` must not.
if TYPE_CHECKING:
    import redis
    from rich.console import Console

    from decision_service.sources.load import Loaded, Prepared, Progress
    from sidecar.contracts.feature_table import TableRecord
    from sidecar.contracts.keys import FeatureKeys

App = Annotated[Path, typer.Option(help="The application's folder.", envvar="SIDEARM_APP")]
Data = Annotated[Path, typer.Option(help="The data folder.", envvar="SIDEARM_DATA")]
Table = Annotated[str, typer.Option(help="The table's name: a-z, 0-9 and _.")]

_LOAD_TIMEOUT_S = 60.0
_LOOK_S = 1.0
_MISSING = 1
_ELSEWHERE = (
    " there (the store has one, from before tables had a store of their own: "
    "docs/operations.md#a-feature-store-of-its-own)"
)
_TWO = (
    "the store has a table of that name too, from before tables had a store of their own: features are read "
    "there by who opens `around.store_url`, and here by who opens `around.feature_store_url`"
)

app = typer.Typer(help="Tables of features in the feature store.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Tables of features in the feature store."""


@app.command("load")
def load_command(
    file: Annotated[Path, typer.Argument(help="A Parquet or Arrow IPC file.")],
    table: Table,
    key: Annotated[list[str], typer.Option(help="The key column; repeat it for a key of several columns.")],
    app: App,
    data: Data = Path("data"),
    ttl: Annotated[float, typer.Option(help="Seconds until the table is gone; 0: it stays.", min=0)] = 0.0,
    slots: Annotated[int, typer.Option(help="Parts on a cluster; 0: as the rows ask for.", min=0)] = 0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Read and check the file, write nothing.")
    ] = False,
    again: Annotated[bool, typer.Option("--again", help="Write it even if it is there already.")] = False,
) -> None:
    """Load FILE into the feature store. Readers see the old table until all of the new one is there.

    Begun again after an interruption it goes on where it stopped; a file that is there already is not written
    again, but gets the time to live that is asked for.
    """
    import secrets
    import time

    from rich.console import Console

    from decision_service.sources.load import load, prepare

    console = Console()
    keys = _keys(app, table)
    with console.status(f"reading {file} …"):
        prepared = prepare(file, keys, key, slots or None)
    _describe(console, prepared, table)
    if dry_run:
        console.print("nothing was written (--dry-run)")
        return
    with _store(data, _LOAD_TIMEOUT_S) as client, _bar(console, prepared.frame.height) as progress:
        loaded = load(
            client,
            prepared,
            secrets.token_hex(4),
            time.time_ns() // 1_000_000,
            round(ttl * 1000) or None,
            progress,
            again=again,
        )
    console.print(_told(loaded), highlight=False, soft_wrap=True)
    if _elsewhere(data, keys):
        console.print(_TWO, highlight=False, soft_wrap=True)


@app.command("show")
def show_command(
    table: Table,
    app: App,
    key: Annotated[
        list[str] | None, typer.Argument(help="Keys to show; of several columns: one after another.")
    ] = None,
    data: Data = Path("data"),
) -> None:
    """Show a table of the feature store, and the rows of some keys as JSON; exit code 1 if one is missing."""
    import sys

    import msgspec
    from rich.console import Console

    from decision_service.sources.errors import BadKey
    from decision_service.sources.load import read_record
    from decision_service.sources.store import checked_name
    from sidecar.contracts.errors import BadSettings

    keys = _keys(app, checked_name(table))
    with _store(data) as client:
        record = read_record(client, keys)
        if record is None:
            raise BadSettings(
                f"the feature store has no table {table!r} of {keys.app!r}: `sidearm features load` it"
                + _ELSEWHERE * _elsewhere(data, keys)
            )
        parts, asked = len(record.key), key or []
        if len(asked) % parts:
            raise BadKey(f"a key of {table!r} is {parts} values: {', '.join(record.key)}")
        if not asked:
            _show_record(Console(), record)
        missing = 0
        for start in range(0, len(asked), parts):
            row = _row(client, keys, record, tuple(asked[start : start + parts]))
            missing += row is None
            sys.stdout.buffer.write(msgspec.json.encode(row) + b"\n")
    if missing:
        raise typer.Exit(_MISSING)


def _keys(app: Path, table: str) -> FeatureKeys:
    from sidecar.contracts.application import load_application
    from sidecar.contracts.keys import FeatureKeys

    return FeatureKeys(load_application(app).name, table)


@contextmanager
def _store(data: Path, timeout_s: float = 5.0) -> Iterator[redis.Redis]:
    from sidecar.contracts.errors import BadSettings
    from sidecar.contracts.layout import DataFolder
    from sidecar.contracts.store import StoreError, connect
    from sidecar.contracts.store_address import feature_store_address, without_password

    url = feature_store_address(os.environ, DataFolder(data))
    try:
        with connect(url, timeout_s=timeout_s) as client:
            yield client
    except (StoreError, OSError) as error:
        raise BadSettings(
            f"the feature store at {without_password(url)} failed ({error}): is it running? `sidearm up` "
            "starts one for an application that names `features` in its app.toml"
        ) from error


def _elsewhere(data: Path, keys: FeatureKeys) -> bool:
    """Whether the store has such a table too, from before there was a feature store; False if it is away."""
    from decision_service.sources.load import read_record
    from sidecar.contracts.layout import DataFolder
    from sidecar.contracts.store import StoreError, connect
    from sidecar.contracts.store_address import stores_of

    stores = stores_of(os.environ, DataFolder(data))
    if stores.store == stores.features:
        return False
    try:
        with connect(stores.store, timeout_s=_LOOK_S) as client:
            return read_record(client, keys) is not None
    except (StoreError, OSError):
        return False


@contextmanager
def _bar(console: Console, total: int) -> Iterator[Progress]:
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("loading"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bar(*columns, console=console, transient=True) as progress:
        task = progress.add_task("loading", total=total)
        yield lambda rows: progress.update(task, completed=rows)


def _describe(console: Console, prepared: Prepared, name: str) -> None:
    console.print(
        f"{name}: {prepared.frame.height:,} rows by {', '.join(prepared.key)}, "
        f"in {prepared.slots} slot{'s' * (prepared.slots > 1)}: "
        + ", ".join(f"{column.name} {column.type}" for column in prepared.columns),
        highlight=False,
        soft_wrap=True,
    )


def _told(loaded: Loaded) -> str:
    record = loaded.record
    if not loaded.written and not loaded.resumed:
        return f"{record.table} holds this file already (generation {record.generation}): nothing to write"
    gone_on = f", {loaded.resumed:,} were there from a load that had stopped" if loaded.resumed else ""
    return f"{record.table}: generation {record.generation}, {loaded.written:,} rows written{gone_on}"


def _show_record(console: Console, record: TableRecord) -> None:
    from datetime import UTC, datetime

    from rich.table import Table as Grid

    def when(at_ms: int | None) -> str:
        return (
            "never" if at_ms is None else f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"
        )

    grid = Grid("table", record.table, box=None, pad_edge=False)
    grid.add_row("rows", f"{record.rows:,}")
    grid.add_row("key", ", ".join(record.key))
    grid.add_row("columns", ", ".join(f"{column.name} {column.type}" for column in record.columns))
    grid.add_row("generation", record.generation)
    grid.add_row("loaded", when(record.loaded_at_ms))
    grid.add_row("expires", when(record.expires_at_ms))
    console.print(grid)


def _row(
    client: redis.Redis, keys: FeatureKeys, record: TableRecord, key: tuple[str, ...]
) -> dict[str, object] | None:
    from decision_service.sources.rows import key_text
    from sidecar.contracts.feature_table import decode_row, slot_of

    text = key_text(key)
    data = client.hget(keys.rows(record.generation, slot_of(text, record.slots)), text)
    return decode_row(record, data) if isinstance(data, bytes) else None
