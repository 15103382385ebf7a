"""An evaluation as one HTML page: no script, no font, no link; light and dark, on any width."""

from __future__ import annotations

from html import escape
from pathlib import Path

from offline_eval.diagnostics import Check
from offline_eval.group_tables import groups_html
from offline_eval.numbers import left_out, number, span
from offline_eval.results import CandidateResult, Estimate, Evaluation, Versus

DM_NOTE = "dm: its interval knows the spread of contexts only, not the error of the model"

STYLE = """
:root { color-scheme: light dark; --text: #23272d; --soft: #565c66; --line: #dfe2e6; --page: #fff;
  --card: #f6f7f9; --green: #23793b; --amber: #96610a; --red: #b3261e }
@media (prefers-color-scheme: dark) { :root { --text: #e4e7eb; --soft: #a9b0ba; --line: #383e47;
  --page: #15181c; --card: #1e2227; --green: #6fce8b; --amber: #e5b25d; --red: #f2867e } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem;
  color: var(--text); background: var(--page) }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2.2rem }
.wide { overflow-x: auto; margin: .5rem 0 1rem } svg { display: block }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
td, th { padding: .25rem .8rem; text-align: right; white-space: nowrap } th { color: var(--soft);
  font-weight: 500 } td:first-child, th:first-child { text-align: left; padding-left: 0 }
tr { border-bottom: 1px solid var(--line) } tr.read td { font-weight: 600 }
td.why, .note { color: var(--soft) }
.card { background: var(--card); border-left: .35rem solid var(--soft); border-radius: .25rem;
  margin: .6rem 0; padding: .55rem .9rem; overflow-wrap: anywhere }
.green { border-color: var(--green) } .amber { border-color: var(--amber) } .red { border-color: var(--red) }
ul { padding-left: 1.2rem; overflow-wrap: anywhere }
.ok { color: var(--green) } .caution { color: var(--amber) } .stop { color: var(--red) }
pre { overflow-x: auto; font-size: 12px; background: var(--card); padding: .8rem }
summary { cursor: pointer; color: var(--soft) }
"""


def to_html(evaluation: Evaluation) -> str:
    """The page."""
    drawn = any(one.value for result in evaluation.candidates for one in result.estimates)
    log = evaluation.log
    judged = [(one.candidate, one.verdict) for one in evaluation.candidates]
    judged += [(f"{one.candidate} against {one.against}", one.verdict) for one in evaluation.versus]
    return f"""<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Evaluation of {escape(log.folder)}</title>
<style>{STYLE}</style>
<h1>What would another policy have earned?</h1>
<p>Log <b>{escape(log.folder)}</b>: {log.counted:,} of {log.rows:,} rows count,
decided {escape(log.first_decided_at or "never")} to {escape(log.last_decided_at or "never")}.
<span class="note">{escape(left_out(log.left_out))}.</span></p>
{"".join(_card(name, verdict) for name, verdict in judged)}
{_wide(_forest(evaluation)) if drawn else "<p>No estimate can be drawn.</p>"}
<h2>Is the log healthy?</h2>{_checks(evaluation.checks)}
{"".join(_candidate(result, evaluation.level) for result in evaluation.candidates)}
{"".join(_versus(one, evaluation.level) for one in evaluation.versus)}
{_plots(evaluation) if drawn else ""}
{groups_html(", ".join(evaluation.by), evaluation.groups)}
{groups_html("day", evaluation.days)}
{groups_html("segment", evaluation.segments)}
<h2>The scan</h2><p class="note" style="overflow-wrap: anywhere">Fingerprint of log, window, candidates and
options: {evaluation.fingerprint}</p>
<details><summary>The SQL</summary><pre>{escape(evaluation.scan.strip())}</pre></details></html>
"""


def write_html(evaluation: Evaluation, path: Path) -> None:
    """The page as a file."""
    path.write_text(to_html(evaluation), encoding="utf-8")


def _card(name: str, verdict: str) -> str:
    colour = verdict.partition(":")[0]
    return f'<p class="card {escape(colour)}"><b>{escape(name)}</b> {escape(verdict)}</p>'


def _wide(inside: str) -> str:
    """What may be wider than the page scrolls by itself."""
    return f'<div class="wide">{inside}</div>'


def _forest(evaluation: Evaluation) -> str:
    from offline_eval.forest import forest_svg

    return forest_svg(evaluation)


def _plots(evaluation: Evaluation) -> str:
    from offline_eval.charts import calibration_chart, curve_chart, days_chart, weights_chart
    from offline_eval.theme import svg

    days = f"<h2>Day by day</h2>{_wide(svg(days_chart(evaluation)))}" if evaluation.days else ""
    return f"""<h2>Weights</h2>
<p class="note">Rows by what they count for: the candidate's probability of the shown arm over the logged one.
A hill near 1 and no long tail is healthy; rows at 0 say nothing about the candidate.</p>
{_wide(svg(weights_chart(evaluation)))}
<h2>Estimates over their limits</h2>
<p class="note">Where a line is flat, the limit does not make the number. Dashed: the logger.</p>
{_wide(svg(curve_chart(evaluation)))}{days}
<h2>The reward model</h2><p class="note">On the dashed line it expects what came.</p>
{_wide(svg(calibration_chart(evaluation)))}"""


def _checks(checks: tuple[Check, ...]) -> str:
    """Those that failed first, and open; the others folded away."""
    doubts = [one for one in checks if one.level != "ok"]
    sound = [one for one in checks if one.level == "ok"]
    said = f"<ul>{_items(doubts)}</ul>" if doubts else ""
    return (
        f"""{said}<details><summary>{len(sound)} checks passed</summary><ul>{_items(sound)}</ul></details>"""
    )


def _items(checks: list[Check]) -> str:
    return "".join(f'<li class="{one.level}">{escape(one.text)}</li>' for one in checks)


def _candidate(result: CandidateResult, level: float) -> str:
    rows = [("logger", result.on_policy), *((one.estimator, one) for one in result.estimates)]
    lines = "".join(_row(name, one, result) for name, one in rows)
    table = f"""<table><tr><th>estimator</th><th>mean reward</th><th>{level:.0%} interval</th>
<th>less the logger</th><th>interval</th><th>effective rows</th></tr>{lines}</table>"""
    return f"""<h2>{escape(result.candidate)}</h2>{_wide(table)}<p class="note">{DM_NOTE}</p>
{_checks(result.checks)}"""


def _row(name: str, one: Estimate, result: CandidateResult) -> str:
    if one.value is None or one.difference is None:
        why = f'<td colspan="5" class="why">withheld: {escape(one.withheld)}</td>'
        return f"<tr><td>{escape(name)}</td>{why}</tr>"
    ess = result.rows if name == "logger" else result.effective_rows
    paired = ("", "") if name == "logger" else (f"{one.difference.value:+.3g}", span(one.difference, 3))
    cells = (escape(name), number(one.value.value), span(one.value), *paired, f"{ess:,.0f}")
    read = ' class="read"' if name == result.headline else ""
    return f"<tr{read}>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _versus(one: Versus, level: float) -> str:
    lines = "".join(
        f"<tr><td>{escape(each.estimator)}</td><td>{each.difference.value:+.3g}</td>"
        f"<td>{span(each.difference, 3)}</td></tr>"
        for each in one.estimates
        if each.difference is not None
    )
    table = f"""<table><tr><th>estimator</th><th>difference</th><th>{level:.0%} interval</th></tr>
{lines}</table>"""
    return f"<h2>{escape(one.candidate)} against {escape(one.against)}</h2>{_wide(table)}"
