"""Plots beside the forest: how weights are spread, what a limit does, day by day, the reward model."""

from __future__ import annotations

import math

import altair as alt
import polars as pl

from offline_eval.histogram import Bin
from offline_eval.results import CandidateResult, Evaluation
from offline_eval.theme import ACCENT, MUTED

_WIDTH_PX, _HEIGHT_PX = 420, 120
_DASHED = [4, 3]


def weights_chart(evaluation: Evaluation) -> alt.FacetChart:
    """Rows by weight, in powers of two; a healthy candidate has its hill near 1 and no long tail."""
    rows = [
        {"candidate": one.candidate, "weight": _weight(bin_.low), "low": bin_.low, "rows": bin_.rows}
        for one in evaluation.candidates
        for bin_ in _without_gaps(one.weights)
    ]
    schema = {"candidate": pl.String, "weight": pl.String, "low": pl.Float64, "rows": pl.Int64}
    order = alt.EncodingSortField("low", op="min")
    bars = alt.Chart(pl.DataFrame(rows, schema=schema)).mark_bar(color=ACCENT)
    drawn = bars.encode(
        x=alt.X("weight:N", sort=order, title="weight, from", axis=alt.Axis(labelAngle=0, grid=False)),
        y=alt.Y("rows:Q", title="rows", axis=alt.Axis(tickCount=4)),
        tooltip=["candidate", "weight", "rows"],
    )
    return _by_candidate(drawn)


def _without_gaps(bins: tuple[Bin, ...]) -> list[Bin]:
    """Empty ones between, so that distances are what they seem."""
    known = {round(math.log2(one.low)): one for one in bins if one.low > 0}
    span = range(min(known), max(known) + 1) if known else range(0)
    zero = [one for one in bins if one.low == 0]
    return [*zero, *(known.get(power, Bin(2.0**power, 2.0 ** (power + 1), 0)) for power in span)]


def _weight(low: float) -> str:
    """A power of two as people write it.

    >>> _weight(0.25), _weight(8.0), _weight(0.0)
    ('1/4', '8', '0')
    """
    return f"1/{1 / low:g}" if 0 < low < 1 else f"{low:g}"


def curve_chart(evaluation: Evaluation) -> alt.FacetChart:
    """Estimates over their limits with intervals: where a line is flat, the limit does not matter."""
    rows = [
        {
            "candidate": one.candidate,
            "family": "clipped IPS" if point.estimate.estimator.startswith("cips") else "DRos",
            "limit": point.limit, "value": point.estimate.value.value,
            "low": point.estimate.value.low, "high": point.estimate.value.high, "logger": _logger(one),
        }
        for one in evaluation.candidates
        for point in one.curve
        if point.estimate.value
    ]  # fmt: skip
    numbers = dict.fromkeys(("limit", "value", "low", "high", "logger"), pl.Float64)
    frame = pl.DataFrame(rows, schema={"candidate": pl.String, "family": pl.String, **numbers})
    limits = alt.Axis(values=[0.1, 1, 10, 100, 1_000, 10_000], format="~g")
    base = alt.Chart(frame).encode(
        x=alt.X("limit:Q", scale=alt.Scale(type="log"), axis=limits, title="limit of the weight"),
        color=alt.Color("family:N", title=None),
    )
    title, free = "mean reward", alt.Scale(zero=False)
    band = base.mark_area(opacity=0.15).encode(y=alt.Y("low:Q", title=title, scale=free), y2="high:Q")
    logger = alt.Chart(frame).mark_rule(strokeDash=_DASHED, color=MUTED)
    line = base.mark_line(point=True).encode(y=alt.Y("value:Q", title=title))
    return _by_candidate(band + logger.encode(y=alt.Y("mean(logger):Q", title=title)) + line)


def _logger(result: CandidateResult) -> float | None:
    return result.on_policy.value.value if result.on_policy.value else None


def days_chart(evaluation: Evaluation) -> alt.FacetChart:
    """What each day alone says, by the estimate that its verdict reads; nothing where that is withheld."""
    rows = [
        {"candidate": result.candidate, "day": day.group, "difference": one.difference.value,
         "low": one.difference.low, "high": one.difference.high, "estimator": one.estimator}
        for day in evaluation.days
        for result in day.candidates
        for one in result.estimates
        if one.estimator == result.headline and one.difference
    ]  # fmt: skip
    numbers = dict.fromkeys(("difference", "low", "high"), pl.Float64)
    frame = pl.DataFrame(
        rows, schema={"candidate": pl.String, "day": pl.String, **numbers, "estimator": pl.String}
    )
    base = alt.Chart(frame.with_columns(pl.col("day").str.to_date())).encode(
        x=alt.X(
            "day:T",
            title=None,
            scale=alt.Scale(padding=12),
            axis=alt.Axis(format="%d %b", tickCount="day", grid=False),
        ),
        tooltip=["candidate", "day", "estimator", "difference", "low", "high"],
    )
    title = "less the logger"
    zero = alt.Chart(pl.DataFrame({"y": [0.0]})).mark_rule(strokeDash=_DASHED, color=MUTED).encode(y="y:Q")
    bars = base.mark_rule(strokeWidth=2, color=ACCENT).encode(y=alt.Y("low:Q", title=title), y2="high:Q")
    points = base.mark_point(color=ACCENT).encode(
        y=alt.Y("difference:Q", title=title),
        shape=alt.Shape("estimator:N", title="the verdict of that day reads"),
    )
    return _by_candidate(bars + points + zero)


def calibration_chart(evaluation: Evaluation) -> alt.LayerChart:
    """What the reward model expected and what came; on the diagonal it is right."""
    rows = [{"expected": one.expected, "came": one.came, "rows": one.rows} for one in evaluation.calibration]
    frame = pl.DataFrame(rows, schema={"expected": pl.Float64, "came": pl.Float64, "rows": pl.Int64})
    free = alt.Scale(zero=False)
    x = alt.X("expected:Q", title="expected by the reward model", scale=free)
    points = (
        alt.Chart(frame)
        .mark_point(color=ACCENT)
        .encode(
            x=x,
            y=alt.Y("came:Q", title="mean reward that came", scale=free),
            size=alt.Size("rows:Q", legend=None),
            tooltip=["expected", "came", "rows"],
        )
    )
    line = alt.Chart(frame).mark_line(strokeDash=_DASHED, color=MUTED, strokeWidth=1)
    drawn: alt.LayerChart = (line.encode(x=x, y="expected:Q") + points).properties(
        width=_WIDTH_PX * 2 // 3, height=2 * _HEIGHT_PX
    )
    return drawn


def _by_candidate(chart: alt.Chart | alt.LayerChart) -> alt.FacetChart:
    header = alt.Header(labelAnchor="start", labelOrient="top")
    sized = chart.properties(width=_WIDTH_PX, height=_HEIGHT_PX)
    faceted: alt.FacetChart = sized.facet(
        row=alt.Row("candidate:N", sort=None, title=None, header=header)
    ).resolve_scale(y="independent")
    return faceted
