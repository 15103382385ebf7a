"""Evaluations by day, below the data folder: whole files or none, and not more than are wanted.

::

    evaluations/<app>/2026-03-01/report.html        for people
    evaluations/<app>/2026-03-01/evaluation.json    written last: where it is, the day is done
"""

from __future__ import annotations

import datetime as dt
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from offline_eval.errors import BadInput

# DuckDB and Polars come along with it, and who only waits for the night needs neither.
if TYPE_CHECKING:
    from offline_eval.results import Evaluation

FILE, PAGE = "evaluation.json", "report.html"


def file_away(evaluation: Evaluation, folder: Path, day: dt.date, keep: int) -> Path:
    """Write an evaluation under its day, in place of one of the same day; forget the oldest.

    Args:
        evaluation: what was found.
        folder: of the application's evaluations.
        day: the last one that was evaluated.
        keep: days that are kept.

    Returns:
        The JSON file.

    Raises:
        BadInput: the disk is full or away.
    """
    from offline_eval.page import to_html
    from offline_eval.report import to_json

    into = folder / day.isoformat()
    try:
        into.mkdir(parents=True, exist_ok=True)
        write_whole(into / PAGE, to_html(evaluation).encode())
        write_whole(into / FILE, to_json(evaluation))
    except OSError as error:
        raise BadInput(f"{into} cannot be written: {error.strerror}") from error
    for old in days_in(folder)[:-keep]:
        shutil.rmtree(folder / old.isoformat(), ignore_errors=True)
    return into / FILE


def days_in(folder: Path) -> list[dt.date]:
    """The days that have a folder, in order; whatever else lies there is left alone."""
    found = []
    for path in folder.iterdir() if folder.is_dir() else ():
        with suppress(ValueError):
            found.append(dt.date.fromisoformat(path.name))
    return sorted(found)


def in_one_line(evaluation: Evaluation, day: dt.date, path: Path) -> str:
    """Every candidate's verdict, for a log."""
    verdicts = [f"{one.candidate}: {one.verdict}" for one in evaluation.candidates]
    verdicts += [f"{one.candidate} against {one.against}: {one.verdict}" for one in evaluation.versus]
    return f"evaluation of {day}: {'; '.join(verdicts)}; {evaluation.fingerprint[:16]}; {path}"


def write_whole(path: Path, data: bytes) -> None:
    """A file that holds all of ``data``, or is as it was."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
