"""Plots beside the forest: how weights are spread, and what an estimate owes to its limit."""

from __future__ import annotations

import altair as alt
import polars as pl
import vl_convert

from offline_eval.results import Evaluation

_WIDTH_PX, _HEIGHT_PX = 420, 120
_BLUE = "#4c78a8"


def weights_chart(evaluation: Evaluation) -> alt.FacetChart:
    """Rows by weight, in powers of two; a healthy candidate has its hill near 1 and no long tail."""
    rows = [
        {"candidate": one.candidate, "weight": "0" if not bin_.high else f"{bin_.low:g}", "low": bin_.low,
         "rows": bin_.rows}
        for one in evaluation.candidates
        for bin_ in one.weights
    ]  # fmt: skip
    schema = {"candidate": pl.String, "weight": pl.String, "low": pl.Float64, "rows": pl.Int64}
    order = alt.EncodingSortField("low", op="min")
    bars = alt.Chart(pl.DataFrame(rows, schema=schema)).mark_bar(color=_BLUE)
    drawn = bars.encode(
        x=alt.X("weight:N", sort=order, title="weight, from", axis=alt.Axis(labelAngle=0)),
        y=alt.Y("rows:Q", title="rows"),
        tooltip=["candidate", "weight", "rows"],
    )
    return _by_candidate(drawn)


def curve_chart(evaluation: Evaluation) -> alt.FacetChart:
    """Estimates over their limits with intervals: where a line is flat, the limit does not matter."""
    rows = [
        {
            "candidate": one.candidate,
            "family": "clipped IPS" if point.estimate.estimator.startswith("cips") else "DRos",
            "limit": point.limit, "value": point.estimate.value.value,
            "low": point.estimate.value.low, "high": point.estimate.value.high,
        }
        for one in evaluation.candidates
        for point in one.curve
        if point.estimate.value
    ]  # fmt: skip
    numbers = dict.fromkeys(("limit", "value", "low", "high"), pl.Float64)
    frame = pl.DataFrame(rows, schema={"candidate": pl.String, "family": pl.String, **numbers})
    base = alt.Chart(frame).encode(
        x=alt.X("limit:Q", scale=alt.Scale(type="log"), title="limit"),
        color=alt.Color("family:N", title=None),
    )
    band = base.mark_area(opacity=0.15).encode(
        y=alt.Y("low:Q", title="mean reward", scale=alt.Scale(zero=False)), y2="high:Q"
    )
    return _by_candidate(band + base.mark_line(point=True).encode(y="value:Q"))


def calibration_chart(evaluation: Evaluation) -> alt.LayerChart:
    """What the reward model expected and what came; on the diagonal it is right."""
    rows = [{"expected": one.expected, "came": one.came, "rows": one.rows} for one in evaluation.calibration]
    frame = pl.DataFrame(rows, schema={"expected": pl.Float64, "came": pl.Float64, "rows": pl.Int64})
    free = alt.Scale(zero=False)
    points = (
        alt.Chart(frame)
        .mark_point(filled=True, color=_BLUE)
        .encode(
            x=alt.X("expected:Q", title="expected by the reward model", scale=free),
            y=alt.Y("came:Q", title="mean reward", scale=free),
            size=alt.Size("rows:Q", legend=None),
            tooltip=["expected", "came", "rows"],
        )
    )
    line = alt.Chart(frame).mark_line(strokeDash=[4, 3], color="#888888")
    drawn: alt.LayerChart = (line.encode(x="expected:Q", y="expected:Q") + points).properties(
        width=_WIDTH_PX, height=2 * _HEIGHT_PX
    )
    return drawn


def svg(chart: alt.FacetChart | alt.LayerChart) -> str:
    """A plot as SVG, drawn here: no script, no network."""
    drawn: str = vl_convert.vegalite_to_svg(chart.to_json())
    return drawn


def _by_candidate(chart: alt.Chart | alt.LayerChart) -> alt.FacetChart:
    header = alt.Header(labelAngle=0, labelAlign="left", labelOrient="top", labelFontWeight="bold")
    sized = chart.properties(width=_WIDTH_PX, height=_HEIGHT_PX)
    faceted: alt.FacetChart = sized.facet(
        row=alt.Row("candidate:N", sort=None, title=None, header=header)
    ).resolve_scale(y="independent")
    return faceted
