"""What the log says about windows, for readers: a table in the terminal, JSON, one page, one picture."""

from __future__ import annotations

from html import escape
from pathlib import Path

import altair as alt
import msgspec
import polars as pl
import vl_convert
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape as plain
from rich.table import Table

from offline_eval.horizon import HorizonReport, WindowShare, duration

_BAR = 12
_PNG_SCALE = 2.0
_SEEN = {"joined": "", "late": "late rewards only", "beyond": "not seen yet"}
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; margin: 1rem 0 } td, th { padding: .2rem .8rem; text-align: right }
td:first-child, th:first-child, td:last-child { text-align: left } tr { border-bottom: 1px solid #ddd }
.chosen { font-weight: bold } .beyond { color: #777 }
"""


def to_json(report: HorizonReport) -> bytes:
    """The whole report, indented."""
    return msgspec.json.format(msgspec.json.encode(report)) + b"\n"


def print_report(report: HorizonReport, console: Console) -> None:
    """The table, the recommendation, and what to know when reading it."""
    console.print(plain(_headline(report)))
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for header in ("window", "rewards", "value", "", "waiting", "MB", ""):
        table.add_column(header, justify="left" if header in ("window", "") else "right")
    for one in report.windows:
        style = (
            "bold green" if one.window_s == report.recommended_s else "dim" if one.seen == "beyond" else None
        )
        table.add_row(*_cells(one, report), style=style)
    console.print(table)
    told = duration(report.recommended_s) if report.recommended_s else "none yet"
    console.print(f"[bold]recommended: {told}[/] ({plain(report.reason)})")
    for note in report.notes:
        console.print(f"  - {plain(note)}")


def horizon_chart(report: HorizonReport, width_px: int = 520) -> alt.LayerChart | alt.FacetChart:
    """Share of rewards and of value by window, for a notebook or to be saved."""
    rows = [
        {"window": duration(one.window_s), "window_s": one.window_s, "share": share, "of": name}
        for one in report.windows
        for name, share in (("rewards", one.rewards), ("value", one.value))
        if share is not None
    ]
    base = alt.Chart(pl.DataFrame(rows)).encode(
        x=alt.X("window_s:Q", scale=alt.Scale(type="log"), title="window, seconds"),
        y=alt.Y("share:Q", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format="%"), title="caught"),
        color=alt.Color("of:N", title="share of"),
        tooltip=["window", "of", alt.Tooltip("share:Q", format=".1%")],
    )
    marks = [{"at": report.horizon_s, "what": "now"}]
    if report.recommended_s:
        marks.append({"at": report.recommended_s, "what": "recommended"})
    rules = (
        alt.Chart(pl.DataFrame(marks, schema={"at": pl.Float64, "what": pl.String}))
        .mark_rule(color="#555555")
        .encode(x="at:Q", strokeDash=alt.StrokeDash("what:N", title=None))
    )
    return alt.layer(base.mark_line(point=True), rules).properties(width=width_px, height=240)


def write_png(report: HorizonReport, path: Path) -> None:
    """The picture as PNG."""
    path.write_bytes(vl_convert.vegalite_to_png(horizon_chart(report).to_json(), scale=_PNG_SCALE))


def to_html(report: HorizonReport) -> str:
    """One page with everything inside: no script, no font, no link."""
    svg = vl_convert.vegalite_to_svg(horizon_chart(report).to_json())
    rows = "".join(_html_row(one, report) for one in report.windows)
    notes = "".join(f"<li>{escape(note)}</li>" for note in report.notes)
    told = duration(report.recommended_s) if report.recommended_s else "none yet"
    return f"""<!doctype html><html lang="en"><meta charset="utf-8">
<title>How long to wait for rewards: {escape(report.folder)}</title><style>{_STYLE}</style>
<h1>How long should a decision wait for its rewards?</h1><p>{escape(_headline(report))}</p>
<p><b>Recommended: {told}</b>. {escape(report.reason)}.</p>{svg}
<table><tr><th>window</th><th>rewards</th><th>value</th><th>waiting</th><th>MB</th><th></th></tr>{rows}</table>
<ul>{notes}</ul></html>
"""


def _headline(report: HorizonReport) -> str:
    left = ", ".join(f"{count:,} {reason}" for reason, count in report.left_out.items())
    return (
        f"log {report.folder}: {report.decisions:,} decisions, {report.rewarded:,} rewarded within their"
        f" horizon of {duration(report.horizon_s)}, {report.late:,} rewards came after it"
        + (f"; left out: {left}" if left else "")
    )


def _cells(one: WindowShare, report: HorizonReport) -> list[str]:
    bar = "█" * round((one.value or 0.0) * _BAR)
    return [
        duration(one.window_s),
        _share(one.rewards),
        _share(one.value),
        bar,
        f"{one.pending:,}",
        f"{one.pending_mb:,.1f}",
        ", ".join(word for word in (_mark(one, report), _SEEN[one.seen]) if word),
    ]


def _html_row(one: WindowShare, report: HorizonReport) -> str:
    kind = "chosen" if one.window_s == report.recommended_s else one.seen
    cells = [cell for place, cell in enumerate(_cells(one, report)) if place != 3]
    return f'<tr class="{kind}">' + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"


def _mark(one: WindowShare, report: HorizonReport) -> str:
    if one.window_s == report.horizon_s:
        return "now, recommended" if report.recommended_s == report.horizon_s else "now"
    return "recommended" if one.window_s == report.recommended_s else ""


def _share(share: float | None) -> str:
    return "–" if share is None else f"{share:.1%}"
