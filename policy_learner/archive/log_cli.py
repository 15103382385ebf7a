"""``sidearm log``: what the Parquet log holds, and what an operator does with it by hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from policy_learner.errors import BadArchive

# Arrow takes a while to import: `sidearm --help` must not.
if TYPE_CHECKING:
    from rich.console import Console

    from policy_learner.archive.compaction import Progress as Advance
    from policy_learner.settings import LearnerSettings
    from sidecar.contracts.application import Application

AppFolder = Annotated[Path, typer.Option(help="The application's folder.", envvar="SIDEARM_APP")]
DataOption = Annotated[Path, typer.Option(help="The data folder.", envvar="SIDEARM_DATA")]
_APP, _DATA = Path("examples/shop"), Path("data")

app = typer.Typer(
    help="Look after the Parquet log: files, compact, retain, forget, ship, fetch.", no_args_is_help=True
)


@app.callback()
def _group() -> None:
    """Look after the Parquet log. Each command may run while the platform does."""


@app.command("files")
def files_command(
    app: AppFolder = _APP,
    data: DataOption = _DATA,
    dataset: Annotated[str, typer.Option(help="decisions, lessons, late, dead or versions.")] = "decisions",
    paths: Annotated[bool, typer.Option("--paths", help="Only the files that count, one a line.")] = False,
) -> None:
    """Say which files count, day by day: after compaction not every file of the folder does.

    Give other tools exactly these, for example: duckdb "FROM read_parquet([…])".
    """
    from rich.console import Console

    from policy_learner.archive.chain import dataset_folder
    from sidecar.contracts.log_files import files_below

    application, log, _ = _open(app, data)
    _known(dataset)
    folder = dataset_folder(log, dataset, application.name)
    if paths:
        for path in files_below(folder) if folder.is_dir() else []:
            typer.echo(str(path))
        return
    _print_days(Console(), folder)


@app.command("compact")
def compact_command(
    app: AppFolder = _APP,
    data: DataOption = _DATA,
    everything: Annotated[
        bool, typer.Option("--all", help="Also the day that goes on, however few files it has.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what is due.")] = False,
    retain: Annotated[
        bool, typer.Option("--retain", help="First delete days that are older than retention_days, for good.")
    ] = False,
) -> None:
    """Put the many small files of closed days into few large, sorted ones.

    Every reader sees each row once at every moment, also if this is killed. The small files stay on disk for
    the grace (compact_grace_s of [learner]), then the learner or the next compaction removes them.
    """
    from rich.console import Console

    from policy_learner.archive.log_keeping import due, keep, policy_of, rows_due, wall_ms

    console, (application, log, settings) = Console(), _open(app, data)
    name, now_ms = application.name, wall_ms()
    policy = policy_of(settings)._replace(retention_days=settings.retention_days if retain else 0)
    if everything:
        policy = policy._replace(many_files=1)
    wanted = due(log, name, now_ms, policy.many_files)
    if dry_run or not wanted:
        for one in wanted:
            console.print(f"due: {one.dataset} of {one.day}, {one.files:,} files", highlight=False)
        if not wanted:
            console.print("nothing is due: the days that are over are compacted")
        if dry_run:
            return
    with _bar(console, "compact", rows_due(log, name, wanted)) as tick:
        kept = keep(log, name, now_ms, policy, tick=tick)
    for dataset, day, rows in kept.dropped:
        console.print(f"deleted: {dataset} of {day}, {rows:,} rows", highlight=False)
    for one in kept.compacted:
        console.print(f"compacted: {one.dataset} of {one.day}, {one.files:,} files", highlight=False)
    console.print(f"removed: {kept.removed:,} files whose grace was over", highlight=False)


@app.command("retain")
def retain_command(
    days: Annotated[int, typer.Argument(help="How many days are kept, counted back from today, UTC.", min=1)],
    app: AppFolder = _APP,
    data: DataOption = _DATA,
    yes: Annotated[bool, typer.Option("--yes", help="Delete; without it only say what would be.")] = False,
) -> None:
    """Delete days of the log that are older than so many days, for good.

    Decisions, lessons, late rewards and dead letters go, day by day; the version log stays. Models that
    learnt from deleted days serve on, and can no longer be rebuilt. The setting retention_days does this
    every day.
    """
    from datetime import UTC, datetime, timedelta

    from rich.console import Console

    from policy_learner.archive.log_keeping import wall_ms
    from policy_learner.archive.retention import drop_before

    console, (application, log, _) = Console(), _open(app, data)
    cutoff = datetime.now(UTC).date() - timedelta(days=days)
    dropped = drop_before(log, application.name, cutoff, wall_ms(), do=yes)
    for dataset, day, rows in dropped:
        console.print(
            f"{'deleted' if yes else 'would delete'}: {dataset} of {day}, {rows:,} rows", highlight=False
        )
    if not dropped:
        console.print(f"nothing is older than {cutoff.isoformat()}", highlight=False)
    elif not yes:
        console.print("nothing was deleted: add --yes")


@app.command("forget")
def forget_command(
    unit: Annotated[str, typer.Argument(help="The unit_id, as the application sends it.")],
    app: AppFolder = _APP,
    data: DataOption = _DATA,
    now: Annotated[
        bool,
        typer.Option("--now", help="Remove replaced files at once: who reads the log just now may fail."),
    ] = False,
) -> None:
    """Delete what the log holds of one unit (a privacy request).

    Covered: its decisions made until now, with context, arms, rewards and lessons; the late rewards and dead
    letters that name these decisions or their sessions; decisions that still wait for their rewards, as soon
    as their day is compacted. Replaced files keep the old rows until the grace is over (compact_grace_s),
    unless --now.

    Not covered: what the store keeps for a while (pending decisions until their horizon, answers for an hour,
    sessions until their tombstone ends); weights and checkpoints that learnt from the unit, which hold sums
    and no rows; copies made elsewhere (backups, exports). Models that learnt from deleted rows serve on and
    can no longer be rebuilt bit for bit. Books and counters stay as they are: they count what happened.
    """
    from rich.console import Console

    from policy_learner.archive.forgetting import forget
    from policy_learner.archive.log_keeping import policy_of, wall_ms

    console, (application, log, settings) = Console(), _open(app, data)
    with _bar(console, "forget", None) as tick:
        erased = forget(log, application.name, unit, wall_ms(), policy_of(settings).shape, tick)
    for dataset, rows in erased.rows.items():
        console.print(f"deleted: {rows:,} rows of {dataset}", highlight=False)
    if not erased.decisions:
        console.print("the log holds no decision of this unit; pending ones go when their day is compacted")
    console.print(f"written again: {erased.files:,} files", highlight=False)
    _clear(console, log, application.name, 0.0 if now else settings.compact_grace_s)


@app.command("ship")
def ship_command(
    url: Annotated[
        str, typer.Argument(help="Such as s3://bucket/shop; empty: archive_url of [learner].")
    ] = "",
    app: AppFolder = _APP,
    data: DataOption = _DATA,
) -> None:
    """Copy the log to an object store: what is not there yet. The learner does it by itself with archive_url.

    Objects have the files' names and are never replaced. Keys and endpoint come from AWS_ACCESS_KEY_ID,
    AWS_SECRET_ACCESS_KEY, AWS_REGION and AWS_ENDPOINT_URL.
    """
    from rich.console import Console

    from policy_learner.archive.log_shipping import Shipper, open_store

    console, (_, log, settings) = Console(), _open(app, data)
    if not (url or settings.archive_url):
        raise BadArchive(
            "where to? name an address such as s3://bucket/shop, or set archive_url of [learner]"
        )
    with _bar(console, "ship", None, "bytes") as tick:
        shipped = Shipper(log, open_store(url or settings.archive_url)).ship(tick)
    console.print(
        f"shipped: {shipped.files:,} files, {shipped.size_bytes / 1e6:,.1f} MB; removed there:"
        f" {shipped.removed:,}",
        highlight=False,
    )


@app.command("fetch")
def fetch_command(
    url: Annotated[str, typer.Argument(help="Where the log was shipped to, such as s3://bucket/shop.")],
    folder: Annotated[Path, typer.Argument(help="Where to, such as data/log/shop.")],
) -> None:
    """Get a log from an object store: to evaluate it elsewhere, or for a learner on a new machine.

    Only files that count are fetched; what is in the folder already is left, so it can be done again.
    """
    from rich.console import Console

    from policy_learner.archive.log_shipping import fetch, open_store

    console = Console()
    with _bar(console, "fetch", None, "bytes") as tick:
        fetched = fetch(open_store(url), folder, tick)
    console.print(f"fetched: {fetched.files:,} files, {fetched.size_bytes / 1e6:,.1f} MB", highlight=False)


def _clear(console: Console, log: Path, name: str, grace_s: float) -> None:
    """Remove replaced files, or say how long they stay."""
    from policy_learner.archive.chain import dataset_folder
    from policy_learner.archive.generation import clean
    from policy_learner.archive.log_keeping import wall_ms
    from policy_learner.archive.rows import SCHEMAS

    now_ms, grace_ms = wall_ms(), round(grace_s * 1000)
    removed = sum(len(clean(dataset_folder(log, dataset, name), now_ms, grace_ms)) for dataset in SCHEMAS)
    console.print(f"removed: {removed:,} replaced files", highlight=False)
    if grace_s:
        console.print(
            f"replaced files that are younger stay for {grace_s:g} s; then the learner removes them, or "
            "`sidearm log compact`",
            highlight=False,
        )


def _open(app: Path, data: Path) -> tuple[Application, Path, LearnerSettings]:
    """The application, the root of its log, and the settings.

    Raises:
        BadArchive: there is no log.
    """
    import os

    from policy_learner.settings import learner_settings
    from sidecar.contracts.application import load_application
    from sidecar.contracts.layout import DataFolder

    application = load_application(app)
    log = DataFolder(data).log(application.name)
    if not any((log / dataset).is_dir() for dataset in ("decisions", "lessons")):
        raise BadArchive(f"{log} holds no decisions: nothing of {application.name!r} was archived yet")
    return application, log, learner_settings(application.learner, os.environ)


def _known(dataset: str) -> None:
    from policy_learner.archive.rows import SCHEMAS

    if dataset not in SCHEMAS:
        raise BadArchive(f"--dataset {dataset!r} is not known; legal: {', '.join(SCHEMAS)}")


def _print_days(console: Console, folder: Path) -> None:
    from collections import Counter

    from rich.table import Table

    from policy_learner.archive.compaction import rows_of
    from policy_learner.archive.segments import view

    seen, rows, files = view(folder), Counter[str](), Counter[tuple[str, str]]()
    sized: Counter[str] = Counter()
    for file in seen.manifest.files:
        rows[file.day] += file.rows
        sized[file.day] += file.size_bytes
        files[file.day, "compacted"] += 1
    for path in (path for paths in seen.lanes.values() for path in paths):
        day = path.parent.name.removeprefix("dt=")
        rows[day] += rows_of(path)
        sized[day] += path.stat().st_size
        files[day, "small"] += 1
    table = Table("day", "rows", "MB", "compacted files", "small files", box=None, pad_edge=False)
    for day in sorted(rows):
        counts = (f"{files[day, kind]:,}" for kind in ("compacted", "small"))
        table.add_row(day, f"{rows[day]:,}", f"{sized[day] / 1e6:,.1f}", *counts)
    console.print(table)
    manifest = seen.manifest
    gone = ", ".join(f"{count:,} by {reason}" for reason, count in manifest.removed.items()) or "none"
    console.print(
        f"{rows.total():,} rows; deleted since the beginning: {gone}; generation {manifest.generation}",
        highlight=False,
    )


@contextmanager
def _bar(console: Console, what: str, total: int | None, of: str = "rows") -> Iterator[Advance]:
    """A bar that leaves nothing behind."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TextColumn(of), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda rows: progress.advance(task, rows)
