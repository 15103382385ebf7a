"""Evaluations as one table: for each policy what it would have earned, and how far to trust that."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.table import Table

from offline_eval.forest import write_png
from offline_eval.page import write_html
from offline_eval.results import CandidateResult, Estimate, Evaluation

ESTIMATORS = ("ips", "snips", "dr")
_PER = 1_000


def estimates_table(
    title: str, evaluation: Evaluation, names: Mapping[str, str], truth: Mapping[str, float] | None = None
) -> Table:
    """Rewards per thousand decisions, with 95 % intervals.

    Args:
        title: above the table.
        evaluation: of ``offline_eval``.
        names: candidate to what a reader calls it.
        truth: candidate to what is true, where that is known.
    """
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("policy", no_wrap=True)
    for name in ESTIMATORS:
        table.add_column(name.upper(), justify="right", no_wrap=True)
    table.add_column("effective rows", justify="right", no_wrap=True)
    if truth:
        table.add_column("truth", justify="right")
    for result in evaluation.candidates:
        known = truth.get(result.candidate) if truth else None
        row = _row(names.get(result.candidate, result.candidate), result)
        table.add_row(*row, *([] if truth is None else ["" if known is None else f"{_PER * known:.1f}"]))
    return table


def write_reports(evaluation: Evaluation, folder: Path, name: str) -> list[Path]:
    """The self-contained page and the forest plot; their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    page, plot = folder / f"{name}.html", folder / f"{name}-forest.png"
    write_html(evaluation, page)
    write_png(evaluation, plot)
    return [page, plot]


def _row(name: str, result: CandidateResult) -> list[str]:
    by_name = {one.estimator: one for one in result.estimates}
    return [name, *(_cell(by_name[estimator]) for estimator in ESTIMATORS), f"{result.effective_rows:,.0f}"]


def _cell(one: Estimate) -> str:
    """An estimate per thousand; withheld where the data cannot carry one."""
    if one.value is None:
        return "withheld"
    value, low, high = (_PER * number for number in (one.value.value, one.value.low, one.value.high))
    return f"{value:.1f} ({low:.1f} to {high:.1f})"
