"""The forest plot: a line for every estimate with its interval, the logger's own value as the zero line."""

from __future__ import annotations

from pathlib import Path

import altair as alt
import polars as pl
import vl_convert

from offline_eval.results import Evaluation

_PNG_SCALE = 2.0
_STEP_PX = 22


def forest_frame(evaluation: Evaluation) -> pl.DataFrame:
    """One row an estimate that was not withheld, with the effective rows behind it."""
    rows = [
        {
            "candidate": result.candidate,
            "estimator": estimate.estimator,
            "value": estimate.value.value,
            "low": estimate.value.low,
            "high": estimate.value.high,
            "logger": result.on_policy.value.value,
            "effective_rows": result.effective_rows,
        }
        for result in evaluation.candidates
        for estimate in result.estimates
        if estimate.value is not None and result.on_policy.value is not None
    ]
    schema = {
        "candidate": pl.String, "estimator": pl.String, "value": pl.Float64, "low": pl.Float64,
        "high": pl.Float64, "logger": pl.Float64, "effective_rows": pl.Float64,
    }  # fmt: skip
    return pl.DataFrame(rows, schema=schema)


def forest_chart(evaluation: Evaluation, width_px: int = 420) -> alt.FacetChart:
    """The plot, for a notebook or to be saved."""
    frame = forest_frame(evaluation)
    base = alt.Chart(frame).encode(
        y=alt.Y("estimator:N", sort=None, title=None, axis=alt.Axis(labelLimit=200)),
        tooltip=["candidate", "estimator", "value", "low", "high", "effective_rows"],
    )
    title = f"mean reward per decision, {evaluation.level:.0%} interval; dashed: the logger"
    bars = base.mark_rule(strokeWidth=2, color="#4c78a8").encode(
        x=alt.X("low:Q", title=title, scale=alt.Scale(zero=False)), x2="high:Q"
    )
    points = base.mark_point(filled=True, size=60, color="#4c78a8", opacity=1).encode(x="value:Q")
    logger = alt.Chart(frame).mark_rule(strokeDash=[4, 3], color="#888888").encode(x="mean(logger):Q")
    layered = (logger + bars + points).properties(width=width_px, height=alt.Step(_STEP_PX))
    header = alt.Header(labelAngle=0, labelAlign="left", labelOrient="top", labelFontWeight="bold")
    chart: alt.FacetChart = layered.facet(row=alt.Row("candidate:N", sort=None, title=None, header=header))
    return chart


def forest_svg(evaluation: Evaluation) -> str:
    """The plot as SVG, drawn here: no script, no network."""
    svg: str = vl_convert.vegalite_to_svg(forest_chart(evaluation).to_json())
    return svg


def write_png(evaluation: Evaluation, path: Path) -> None:
    """The plot as PNG."""
    path.write_bytes(vl_convert.vegalite_to_png(forest_chart(evaluation).to_json(), scale=_PNG_SCALE))
