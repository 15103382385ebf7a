"""An evaluation for readers: a table in the terminal, JSON for machines, one self-contained HTML page.

A number never stands alone: its interval and the effective rows behind it are beside it, and a number that
the data cannot carry is replaced by the reason.
"""

from __future__ import annotations

from html import escape
from pathlib import Path

import msgspec
from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.markup import escape as plain
from rich.table import Table

from offline_eval.group_tables import groups_html, groups_table
from offline_eval.numbers import number, span
from offline_eval.results import CandidateResult, Estimate, Evaluation, Versus

_COLOURS = {"ok": "green", "caution": "yellow", "stop": "red"}
_MOST_LOGGERS = 8
_DM_NOTE = "dm: its interval knows the spread of contexts only, not the error of the model"

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto;
  padding: 0 1rem; color: #222 }
table { border-collapse: collapse; margin: .5rem 0 1.5rem } td, th { padding: .2rem .8rem; text-align: right }
td:first-child, th:first-child { text-align: left }
tr { border-bottom: 1px solid #ddd } td.why { color: #777 }
.ok { color: #2a7a2a } .caution { color: #a36a00 } .stop { color: #b00020 } pre { overflow-x: auto }
"""


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
        console.print(f"  verdict for [bold]{plain(one.candidate)}[/]: {plain(one.verdict)}\n")
    if evaluation.groups:
        console.print(groups_table(", ".join(evaluation.by), evaluation.groups))
    console.print(f"fingerprint of log, window, candidates and options: {evaluation.fingerprint[:16]}")


def to_html(evaluation: Evaluation) -> str:
    """One page with everything inside: no script, no font, no link."""
    drawn = any(one.value for result in evaluation.candidates for one in result.estimates)
    log = evaluation.log
    sections = "".join(_html_candidate(result, evaluation.level) for result in evaluation.candidates)
    sections += "".join(_html_versus(one, evaluation.level) for one in evaluation.versus)
    return f"""<!doctype html><html lang="en"><meta charset="utf-8">
<title>Evaluation of {escape(log.folder)}</title>
<style>{_STYLE}</style>
<h1>What would another policy have earned?</h1>
<p>Log <b>{escape(log.folder)}</b>: {log.counted:,} of {log.rows:,} rows count,
decided {escape(log.first_decided_at or "never")} to {escape(log.last_decided_at or "never")}.</p>
<p>{escape(_left_out(log.left_out))}</p>
{_plots(evaluation) if drawn else "<p>No estimate can be drawn.</p>"}
{sections}
{groups_html(", ".join(evaluation.by), evaluation.groups)}
{groups_html("day", evaluation.days)}
{groups_html("segment", evaluation.segments)}
<h2>The scan</h2><p>Fingerprint of log, window, candidates and options: {evaluation.fingerprint}</p>
<pre>{escape(evaluation.scan.strip())}</pre></html>
"""


def _plots(evaluation: Evaluation) -> str:
    from offline_eval.charts import calibration_chart, curve_chart, svg, weights_chart
    from offline_eval.forest import forest_svg

    return f"""{forest_svg(evaluation)}
<h2>Weights</h2>{svg(weights_chart(evaluation))}
<h2>Estimates over their limits</h2>{svg(curve_chart(evaluation))}
<h2>The reward model</h2>{svg(calibration_chart(evaluation))}"""


def write_html(evaluation: Evaluation, path: Path) -> None:
    """The page as a file."""
    path.write_text(to_html(evaluation), encoding="utf-8")


def _log_lines(evaluation: Evaluation) -> Group:
    log = evaluation.log
    lines = [
        f"log [bold]{plain(log.folder)}[/]: {log.counted:,} of {log.rows:,} rows count, in {log.files} files;"
        f" decided {log.first_decided_at or 'never'} to {log.last_decided_at or 'never'}",
        _left_out(log.left_out),
    ]
    for one in log.loggers[:_MOST_LOGGERS]:
        mean = "no reward yet" if one.mean_reward is None else f"mean reward {number(one.mean_reward)}"
        lines.append(plain(f"  {one.source}, {one.policy} v{one.model_version}: {one.rows:,} rows, {mean}"))
    if len(log.loggers) > _MOST_LOGGERS:
        lines.append(f"  … and {len(log.loggers) - _MOST_LOGGERS} more versions")
    doubts = [f"[{_COLOURS[c.level]}]{plain(c.text)}[/]" for c in evaluation.checks if c.level != "ok"]
    return Group(*lines, *doubts, "")


def _left_out(reasons: dict[str, int]) -> str:
    if not reasons:
        return "no row was left out"
    return "left out: " + ", ".join(f"{count:,} {reason}" for reason, count in reasons.items())


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
    table.caption = "\n".join([*withheld, *unscored, _DM_NOTE])
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


def _html_versus(one: Versus, level: float) -> str:
    lines = "".join(
        f"<tr><td>{escape(each.estimator)}</td><td>{each.difference.value:+.3g}</td>"
        f"<td>{span(each.difference, 3)}</td></tr>"
        for each in one.estimates
        if each.difference is not None
    )
    return f"""<h2>{escape(one.candidate)} against {escape(one.against)}</h2>
<p><b>{escape(one.verdict)}</b></p><table><tr><th>estimator</th><th>difference</th>
<th>{level:.0%} interval</th></tr>{lines}</table>"""


def _html_candidate(result: CandidateResult, level: float) -> str:
    lines = "".join(_html_row(name, one, result) for name, one in _rows(result))
    checks = "".join(f'<li class="{c.level}">{escape(c.text)}</li>' for c in result.checks)
    return f"""<h2>{escape(result.candidate)}</h2><p><b>{escape(result.verdict)}</b></p>
<table><tr><th>estimator</th><th>mean reward</th><th>{level:.0%} interval</th><th>less the logger</th>
<th>interval</th><th>effective rows</th></tr>{lines}</table><p>{_DM_NOTE}</p><ul>{checks}</ul>"""


def _html_row(name: str, one: Estimate, result: CandidateResult) -> str:
    if one.value is None or one.difference is None:
        why = f'<td colspan="5" class="why">withheld: {escape(one.withheld)}</td>'
        return f"<tr><td>{escape(name)}</td>{why}</tr>"
    ess = result.rows if name == "logger" else result.effective_rows
    paired = ("", "") if name == "logger" else (f"{one.difference.value:+.3g}", span(one.difference, 3))
    cells = (escape(name), number(one.value.value), span(one.value), *paired, f"{ess:,.0f}")
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"
