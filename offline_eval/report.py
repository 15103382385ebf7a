"""An evaluation for readers: a table in the terminal, JSON for machines; ``page.py`` makes HTML.

A number never stands alone: its interval and the effective rows behind it are beside it, and a number that
the data cannot carry is replaced by the reason.
"""

from __future__ import annotations

import msgspec
from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.markup import escape as plain
from rich.table import Table

from offline_eval.group_tables import groups_table
from offline_eval.numbers import left_out, number, span
from offline_eval.page import DM_NOTE
from offline_eval.results import CandidateResult, Estimate, Evaluation, Versus

_COLOURS = {"ok": "green", "caution": "yellow", "stop": "red"}
_MOST_LOGGERS = 8


def to_json(evaluation: Evaluation) -> bytes:
    """The whole evaluation, indented; numbers that do not exist are null."""
    return msgspec.json.format(msgspec.json.encode(evaluation)) + b"\n"


def print_report(evaluation: Evaluation, console: Console) -> None:
    """Tables and verdicts."""
    console.print(_log_lines(evaluation))
    for result in evaluation.candidates:
        console.print(_table(result, evaluation.level))
        console.print(f"  verdict for [bold]{plain(result.candidate)}[/]: {plain(result.verdict)}\n")
    for one in evaluation.versus:
        console.print(_versus_table(one, evaluation.level))
        pair = f"[bold]{plain(one.candidate)}[/] against {plain(one.against)}"
        console.print(f"  verdict for {pair}: {plain(one.verdict)}\n")
    if evaluation.groups:
        console.print(groups_table(", ".join(evaluation.by), evaluation.groups))
    console.print(f"fingerprint of log, window, candidates and options: {evaluation.fingerprint[:16]}")


def _log_lines(evaluation: Evaluation) -> Group:
    log = evaluation.log
    lines = [
        f"log [bold]{plain(log.folder)}[/]: {log.counted:,} of {log.rows:,} rows count, in {log.files} files;"
        f" decided {log.first_decided_at or 'never'} to {log.last_decided_at or 'never'}",
        left_out(log.left_out),
    ]
    for one in log.loggers[:_MOST_LOGGERS]:
        mean = "no reward yet" if one.mean_reward is None else f"mean reward {number(one.mean_reward)}"
        lines.append(plain(f"  {one.source}, {one.policy} v{one.model_version}: {one.rows:,} rows, {mean}"))
    if len(log.loggers) > _MOST_LOGGERS:
        lines.append(f"  … and {len(log.loggers) - _MOST_LOGGERS} more versions")
    doubts = [f"[{_COLOURS[c.level]}]{plain(c.text)}[/]" for c in evaluation.checks if c.level != "ok"]
    return Group(*lines, *doubts, "")


def _rows(result: CandidateResult) -> list[tuple[str, Estimate]]:
    """The logger's own line first."""
    return [("logger", result.on_policy), *((one.estimator, one) for one in result.estimates)]


def _table(result: CandidateResult, level: float) -> Table:
    table = Table(
        title=f"{plain(result.candidate)}: {result.rows:,} rows, worth {result.effective_rows:,.0f};"
        f" largest weight {number(result.max_weight)}",
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    for header in (
        "estimator",
        "reward",
        f"{level:.0%} interval",
        "- logger",
        f"{level:.0%} interval",
        "ESS",
    ):
        table.add_column(header, justify="left" if header == "estimator" else "right", overflow="fold")
    for name, one in _rows(result):
        if one.value is None or one.difference is None:
            table.add_row(name, "withheld", *[""] * 4, style="dim")
            continue
        ess = f"{result.rows if name == 'logger' else result.effective_rows:,.0f}"
        paired = ("", "") if name == "logger" else (f"{one.difference.value:+.3g}", span(one.difference, 3))
        table.add_row(name, number(one.value.value), plain(span(one.value)), paired[0], plain(paired[1]), ess)
    reasons = {one.withheld for _, one in _rows(result) if one.withheld}
    unscored = [f"not scored: {', '.join(map(plain, result.unscored))}, …"] if result.unscored else []
    withheld = [f"withheld: {plain(reason)}" for reason in sorted(reasons)]
    table.caption = "\n".join([*withheld, *unscored, DM_NOTE])
    table.caption_justify = "left"
    return table


def _versus_table(one: Versus, level: float) -> Table:
    """Differences only: what each is worth stands in the candidates' own tables."""
    table = Table(
        title=f"{plain(one.candidate)} against {plain(one.against)}: {one.rows:,} rows",
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    table.add_column("estimator")
    for header in ("difference", f"{level:.0%} interval"):
        table.add_column(header, justify="right", overflow="fold")
    for estimate in one.estimates:
        shown = estimate.difference
        cells = ("withheld", "") if shown is None else (f"{shown.value:+.3g}", plain(span(shown, 3)))
        table.add_row(estimate.estimator, *cells, style="dim" if shown is None else None)
    return table
