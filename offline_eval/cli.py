"""``sidearm evaluate``: what would another policy have earned on this log?"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from offline_eval.errors import BadCandidate
from offline_eval.filing import PAGE
from sidecar.contracts.errors import SidearmError
from sidecar.contracts.process_log import last_word

# DuckDB, Polars and Altair take half a second to import: `sidearm --help` must not.
if TYPE_CHECKING:
    from rich.console import Console

    from offline_eval.asking import Asked
    from offline_eval.dataset import Window
    from offline_eval.evaluate import Advance, Options
    from offline_eval.results import Evaluation
    from offline_eval.reward_model import ModelSettings
    from offline_eval.target_policy import TargetPolicy

_BAD_INPUT = 2


def evaluate_command(
    log: Annotated[Path, typer.Option(help="An application's log folder.")] = Path("data/log/shop"),
    app: Annotated[
        Path | None,
        typer.Option(
            help="An application's folder: ask its log what [evaluation] in app.toml says, and file the"
            " answer away under evaluations/<name>/<day> of the data folder."
        ),
    ] = None,
    data: Annotated[
        Path, typer.Option(help="Where everything is kept; for --app.", envvar="SIDEARM_DATA")
    ] = Path("data"),
    candidate: Annotated[
        list[str] | None,
        typer.Option(
            help="uniform, logged, greedy, epsilon:<0..1>, softmax:<T>, squarecb:<gamma>, table:<file>,"
            " shadow:<model>, as-of:<time>, function:<file.py>:<name>. @<version or file>: other weights."
        ),
    ] = None,
    weights: Annotated[
        str,
        typer.Option(help="For those that score: a weights file, or a store's URL (redis://, unix://)."),
    ] = "",
    against: Annotated[
        str, typer.Option(help="What candidates are held against: logged, or one of them by name.")
    ] = "logged",
    since: Annotated[str, typer.Option(help="Only decisions made at or after, ISO 8601, UTC.")] = "",
    until: Annotated[str, typer.Option(help="Only decisions made before.")] = "",
    as_of: Annotated[str, typer.Option(help="Only decisions whose horizon had ended by then.")] = "",
    policy: Annotated[str, typer.Option(help="Only decisions of this logging policy.")] = "",
    key: Annotated[
        list[str] | None,
        typer.Option(help="What the reward model tells apart beside the arm: slot, context.<feature>, …"),
    ] = None,
    reward_model: Annotated[
        str,
        typer.Option(
            help="The reward model: vw, learnt from this log and cross-fitted by unit; a trained one by its"
            " weights file or a store's URL; else mean rewards by --key."
        ),
    ] = "",
    by: Annotated[
        list[str] | None,
        typer.Option(help="Estimate apart by segment, source, policy, slot, context.<feature>, … too."),
    ] = None,
    keep_scores: Annotated[
        bool, typer.Option(help="Keep what candidates would have done in the log's folder scores/.")
    ] = False,
    clip: Annotated[list[float] | None, typer.Option(help="Limit of clipped IPS; may be repeated.")] = None,
    engine: Annotated[
        str, typer.Option(help="What sums scored rows: duckdb, or spark, with numbers equal to 1e-9.")
    ] = "duckdb",
    spark_remote: Annotated[
        str,
        typer.Option(
            help="With --engine spark: a Spark Connect server, sc://host:port; else Spark runs here."
        ),
    ] = "",
    spark_folder: Annotated[
        str,
        typer.Option(help="Where scored rows are put for Spark; a remote one must see it under that name."),
    ] = "",
    json_file: Annotated[Path | None, typer.Option("--json", help="Write everything here as JSON.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a self-contained page here.")] = None,
    png: Annotated[Path | None, typer.Option(help="Write the forest plot here.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Say the verdicts only, in one line.")] = False,
) -> None:
    """Estimate what target policies would have earned, from a Parquet log, with intervals."""
    from rich.console import Console

    console = Console(quiet=quiet)
    try:
        window = _window(since, until, as_of, policy)
        asked = _asked(app, data, window) if app else None
        if asked:
            said = asked.settings
            log, weights, against = asked.log, weights or asked.weights, _other(against) or said.against
            candidate = candidate or list(asked.candidates)
            key, by = key or list(said.keys), by or list(said.by)
            reward_model = reward_model or said.reward_model
            window = replace(window, since=asked.since, until=asked.until)
        kept = str(log / "scores") if keep_scores else ""
        options = _options(tuple(key or ()), tuple(by or ()), tuple(clip or ()), against, kept, reward_model)
        options = _with_engine(options, engine, spark_remote, spark_folder)
        candidates = _candidates(candidate or ["uniform", "logged"], weights, log.name)
        with _progress(console) as advance:
            evaluation = _evaluate(log, candidates, window, options, advance)
        _write(evaluation, console, json_file, html, png)
        _file_away(evaluation, asked, console)
        if quiet and not asked:
            typer.echo("; ".join(f"{one.candidate}: {one.verdict}" for one in evaluation.candidates))
    except SidearmError as error:
        last_word("sidearm evaluate", error)
        raise typer.Exit(_BAD_INPUT) from error


def _asked(app: Path, data: Path, window: Window) -> Asked:
    from offline_eval.asking import asked_by

    return asked_by(app, data, os.environ, datetime.now(UTC), window.since, window.until)


def _file_away(evaluation: Evaluation, asked: Asked | None, console: Console) -> None:
    """Under its day, and a line about it: on the console, or, where that is quiet, by itself."""
    if asked is None:
        return
    from offline_eval.filing import file_away, in_one_line

    path = file_away(evaluation, asked.folder, asked.day, asked.settings.keep)
    if console.quiet:
        typer.echo(in_one_line(evaluation, asked.day, path))
    console.print(f"written: {path} and {PAGE}", soft_wrap=True, highlight=False)


def _evaluate(
    log: Path, candidates: list[TargetPolicy], window: Window, options: Options, advance: Advance
) -> Evaluation:
    from offline_eval.evaluate import evaluate

    return evaluate(log, candidates, window, options, advance)


def _window(since: str, until: str, as_of: str, policy: str) -> Window:
    from offline_eval.dataset import Window

    return Window(_moment("--since", since), _moment("--until", until), _moment("--as-of", as_of), policy)


def _moment(option: str, text: str) -> datetime | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadCandidate(
            f"{option} {text!r} is no time; legal: ISO 8601, such as 2026-01-31T12:00"
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _options(
    keys: tuple[str, ...],
    by: tuple[str, ...],
    clips: tuple[float, ...],
    against: str,
    scores: str,
    weights: str,
) -> Options:
    from offline_eval.estimators import Limits
    from offline_eval.evaluate import Options
    from offline_eval.reward_model import ModelSettings

    if any(not 0 < limit < float("inf") for limit in clips):
        raise BadCandidate("--clip: legal are finite numbers above 0")
    limits = Limits(clip=tuple(dict.fromkeys(clips))) if clips else Limits()
    model = _reward_model(ModelSettings(keys), weights)
    return Options(limits=limits, model=model, by=by, against=_other(against), scores=scores)


def _reward_model(settings: ModelSettings, named: str) -> ModelSettings:
    """A learner by its name, or weights by theirs."""
    from dataclasses import replace

    from offline_eval.reward_crossfit import learners

    return replace(settings, learner=named) if named in learners() else replace(settings, weights=named)


def _other(against: str) -> str:
    """The candidate that others are held against; empty: the logger."""
    return "" if against == "logged" else against


def _with_engine(options: Options, engine: str, remote: str, folder: str) -> Options:
    from msgspec.structs import replace

    if engine not in ("duckdb", "spark"):
        raise BadCandidate(f"--engine {engine!r} is not known; legal: duckdb, spark")
    if engine == "duckdb" and (remote or folder):
        raise BadCandidate("--spark-remote and --spark-folder need --engine spark")
    return replace(options, engine=engine, spark_remote=remote, spark_folder=folder)


def _candidates(names: list[str], weights: str, app: str) -> list[TargetPolicy]:
    from functools import cache

    from offline_eval.candidates import candidate_of
    from offline_eval.weight_files import read_weights, weights_by_name

    read, by_name = cache(lambda: read_weights(weights, app)), weights_by_name(weights, app)
    return [candidate_of(name, read, by_name) for name in names]


@contextmanager
def _progress(console: Console) -> Iterator[Advance]:
    """A bar that runs while rows are scored, and leaves nothing behind."""
    from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("rows scored"), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("scored", total=None)
        yield lambda rows: progress.advance(task, rows)


def _write(
    evaluation: Evaluation, console: Console, json_file: Path | None, html: Path | None, png: Path | None
) -> None:
    from offline_eval.page import write_html
    from offline_eval.report import print_report, to_json

    print_report(evaluation, console)
    written = []
    try:
        if json_file:
            json_file.write_bytes(to_json(evaluation))
            written.append(json_file)
        if html:
            write_html(evaluation, html)
            written.append(html)
        if png:
            from offline_eval.forest import write_png

            write_png(evaluation, png)
            written.append(png)
    except OSError as error:
        raise BadCandidate(f"{error.filename} cannot be written: {error.strerror}") from error
    for path in written:
        console.print(f"written: {path}", soft_wrap=True, highlight=False)
