"""Estimates group by group as tables: for terminals and for the page."""

from __future__ import annotations

from html import escape

from rich.box import SIMPLE_HEAD
from rich.markup import escape as plain
from rich.table import Table

from offline_eval.numbers import number, span
from offline_eval.results import CandidateResult, GroupResult

NOTE = "each interval is for itself: of many, some miss"


def group_name(group: str) -> str:
    """A group as people read it.

    >>> group_name("ios"), group_name("")
    ('ios', '(none)')
    """
    return ", ".join(part or "(none)" for part in group.split("\x1f"))


def groups_table(by: str, groups: tuple[GroupResult, ...]) -> Table:
    """One line a group and candidate: the logger, and the estimate that the verdict reads."""
    table = Table(
        title=f"by {plain(by)}",
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    for header in (by, "candidate", "rows", "logger", "estimate", "interval", "- logger", "ESS"):
        left = header in (by, "candidate")
        table.add_column(plain(header), justify="left" if left else "right", overflow="fold")
    for group in groups:
        for one in group.candidates:
            table.add_row(*(plain(cell) for cell in (group_name(group.group), *_cells(one))))
    table.caption, table.caption_justify = NOTE, "left"
    return table


def groups_html(by: str, groups: tuple[GroupResult, ...]) -> str:
    """The same for the page; nothing where there are no groups."""
    if not groups:
        return ""
    rows = "".join(
        "<tr>" + "".join(f"<td>{escape(c)}</td>" for c in (group_name(group.group), *_cells(one))) + "</tr>"
        for group in groups
        for one in group.candidates
    )
    by = escape(by)
    return f"""<h2>By {by}</h2><div class="wide"><table><tr><th>{by}</th><th>candidate</th><th>rows</th>
<th>logger</th><th>estimate</th><th>interval</th><th>less the logger</th><th>effective rows</th></tr>
{rows}</table></div><p class="note">{NOTE}</p>"""


def _cells(result: CandidateResult) -> tuple[str, ...]:
    logger = result.on_policy.value
    said = next((one for one in result.estimates if one.estimator == result.headline), None)
    first = (result.candidate, f"{result.rows:,}", "" if logger is None else number(logger.value, 3))
    if said is None or said.value is None or said.difference is None:
        return (*first, "withheld", "", "", "")
    shown = (f"{number(said.value.value, 3)} {said.estimator}", span(said.value, 3))
    return (*first, *shown, f"{said.difference.value:+.3g}", f"{result.effective_rows:,.0f}")
