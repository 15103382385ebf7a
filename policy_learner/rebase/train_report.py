"""What ``sidearm train`` shows: a bar while it trains, and a table of the candidates."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from policy_learner.archive.cutting import Stretch
from policy_learner.rebase.base_training import Compared, Job, Plan
from policy_learner.rebase.candidates import Candidate, losses_of
from policy_learner.rebase.offline_figures import Offline
from sidecar.contracts.learner_report import figure_text

_Z = 1.959964
"""Half of a 95 % interval, in standard errors."""
_OFFLINE = ("frozen, offline", "- logged")
_FROZEN = "frozen: what the weights from before that part would have earned on it, by `sidearm evaluate`"
_LOSS = 3
"""Where the loss stands among the cells."""


@contextmanager
def bar(console: Console, total: int) -> Iterator[tuple[Callable[[int], None], Callable[[str], None]]]:
    """A bar that leaves nothing behind: told of more rows, and of what is being done."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("training", total=total)
        yield (
            lambda rows: progress.advance(task, rows),
            lambda what: progress.update(task, description=what),
        )


def print_comparison(console: Console, job: Job, plan: Plan, compared: Compared, chosen: Candidate) -> None:
    """The candidates, the chosen one marked, and what they were trained and compared on."""
    older, newer, newest = (_rows(part) for part in (plan.older, plan.newer, plan.newest))
    console.print(
        f"{job.application.name}: trained on {older:,} rows finalised before {_moment(plan.tested_from_ms)}, "
        f"compared on the {newer:,} after",
        highlight=False,
    )
    if newest:
        console.print(f"{newest:,} rows came later: the one that is handed over learns them too")
    console.print(_table(compared, chosen))
    for line in _notes(compared):
        console.print(line, markup=False, highlight=False, style="dim")


def _table(compared: Compared, chosen: Candidate) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    measure, losses = losses_of(compared.candidates)
    columns = ["", "epochs", "rate", "AUC", measure, "reward, SNIPS"]
    for name in [*columns, *_OFFLINE] if _is_evaluated(compared) else columns:
        table.add_column(name, justify="right")
    for number, one in enumerate(compared.candidates, 1):
        cells = [*_cells(one), *_offline_cells(compared.offline[number - 1])]
        cells.insert(_LOSS, figure_text(losses[number - 1]))
        mark, style = ("▶ ", "bold green") if one is chosen else ("", None)
        table.add_row(f"{mark}{number}", *cells[: len(table.columns) - 1], style=style)
    return table


def _cells(one: Candidate) -> list[str]:
    tested = one.tested
    return [
        str(one.variant.epochs),
        f"{one.variant.learning_rate:g}",
        figure_text(tested.auc),
        figure_text(tested.snips, tested.snips_error and _Z * tested.snips_error),
    ]


def _offline_cells(offline: Offline) -> list[str]:
    if offline.difference is None or offline.low is None or offline.high is None:
        return ["–", "–"]
    paired = f"{offline.difference:+.3g} [{offline.low:+.3g}, {offline.high:+.3g}]"
    return [f"{figure_text(offline.reward)} ({offline.estimator})", paired.replace("[", "\\[")]


def _notes(compared: Compared) -> list[str]:
    """What the figures are, and what kept some of them away."""
    reward = compared.best.tested.reward
    shown = "–" if reward is None else f"{reward:.4g}"
    measure = losses_of(compared.candidates)[0]
    lines = [
        f"as logged they earned {shown} a decision; intervals are of 95 %",
        f"AUC, {measure}, SNIPS: each row of that part foreseen before it was learnt, as it is online",
        f"▶ is chosen: the least {measure} of those that no other earns more than (SNIPS) beyond doubt",
    ]
    if _is_evaluated(compared):
        lines.insert(2, _FROZEN)
    said = dict.fromkeys(one.verdict for one in compared.offline if one.difference is None)
    refused = sum(one.refused for one in compared.candidates)
    lines += [f"offline: {verdict}" for verdict in said if verdict]
    return [*lines, *([f"{refused:,} examples could not be learnt"] if refused else [])]


def _is_evaluated(compared: Compared) -> bool:
    return any(one.verdict for one in compared.offline)


def _rows(part: list[Stretch]) -> int:
    return sum(one.rows for one in part)


def _moment(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M:%S}"
