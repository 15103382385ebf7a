"""The forest plot: a line for every estimate with its interval, the logger's own value as the zero line."""

from __future__ import annotations

from pathlib import Path

import altair as alt
import polars as pl

from offline_eval import theme
from offline_eval.numbers import number, span
from offline_eval.results import CandidateResult, Estimate, Evaluation

_PNG_SCALE = 2.0
_STEP_PX = 20
READ, OTHERS, MODEL = "the verdict reads it", "others", "the model alone: its own error is not in it"
"""What the colours say."""


def forest_frame(evaluation: Evaluation) -> pl.DataFrame:
    """One row an estimate that was not withheld, with the effective rows behind it."""
    rows = [
        _row(result, estimate)
        for result in evaluation.candidates
        for estimate in result.estimates
        if estimate.value is not None and result.on_policy.value is not None
    ]
    schema = {
        "candidate": pl.String, "estimator": pl.String, "value": pl.Float64, "low": pl.Float64,
        "high": pl.Float64, "logger": pl.Float64, "effective_rows": pl.Float64, "kind": pl.String,
        "said": pl.String,
    }  # fmt: skip
    return pl.DataFrame(rows, schema=schema)


def _row(result: CandidateResult, estimate: Estimate) -> dict[str, object]:
    assert estimate.value is not None
    assert result.on_policy.value is not None
    kind = READ if estimate.estimator == result.headline else MODEL if estimate.estimator == "dm" else OTHERS
    return {
        "candidate": result.candidate, "estimator": estimate.estimator, "value": estimate.value.value,
        "low": estimate.value.low, "high": estimate.value.high, "logger": result.on_policy.value.value,
        "effective_rows": result.effective_rows, "kind": kind,
        "said": f"{number(estimate.value.value, 3)}  {span(estimate.value, 3)}",
    }  # fmt: skip


def forest_chart(evaluation: Evaluation, width_px: int = 420) -> alt.FacetChart:
    """The plot, for a notebook or to be saved; every line has its numbers beside it."""
    frame = forest_frame(evaluation)
    there = [kind for kind in (READ, OTHERS, MODEL) if kind in frame["kind"]]
    colours = {READ: theme.OTHER, OTHERS: theme.ACCENT, MODEL: theme.MUTED}
    colour = alt.Color(
        "kind:N", title=None, scale=alt.Scale(domain=there, range=[colours[kind] for kind in there]),
        legend=alt.Legend(symbolType="stroke", symbolStrokeWidth=3, labelLimit=400),
    )  # fmt: skip
    base = alt.Chart(frame).encode(
        y=alt.Y("estimator:N", sort=None, title=None, axis=alt.Axis(ticks=False, domain=False)),
        tooltip=["candidate", "estimator", "value", "low", "high", "effective_rows"],
    )
    title = f"mean reward of a decision with its {evaluation.level:.0%} interval; dashed: the logger"
    bars = base.mark_rule(strokeWidth=2).encode(
        x=alt.X("low:Q", title=title, scale=alt.Scale(zero=False)), x2="high:Q", color=colour
    )
    points = base.mark_point(filled=True, size=60, opacity=1).encode(x="value:Q", color=colour)
    logger = (
        alt.Chart(frame)
        .mark_rule(strokeDash=[4, 3], color=theme.MUTED)
        .encode(x=alt.X("mean(logger):Q", title=title))
    )
    said = base.mark_text(align="left").encode(x=alt.value(width_px + 10), text="said:N")
    layered = (logger + bars + points + said).properties(width=width_px, height=alt.Step(_STEP_PX))
    header = alt.Header(labelAnchor="start", labelOrient="top")
    chart: alt.FacetChart = layered.facet(row=alt.Row("candidate:N", sort=None, title=None, header=header))
    return chart


def forest_svg(evaluation: Evaluation) -> str:
    """The plot as SVG, drawn here: no script, no network."""
    return theme.svg(forest_chart(evaluation))


def write_png(evaluation: Evaluation, path: Path) -> None:
    """The plot as PNG."""
    path.write_bytes(theme.png(forest_chart(evaluation), _PNG_SCALE))
