"""The learning curve: what was served, what the weights of each moment are worth, and the two limits."""

from __future__ import annotations

from pathlib import Path

import altair as alt
import polars as pl
import vl_convert

from examples.demo.live import CHALLENGER, SEGMENT
from examples.demo.shop_phase import ShopRun
from examples.shop.simulator import best_value, expected_reward, uniform_value
from examples.shop.truth import worth_of

_BINS = 40
_PNG_SCALE = 2.0
SERVED, HEARD, GREEDY = "served (truth)", "served (heard)", "greedy on the weights (truth)"
UNIFORM, BEST = "uniform (truth)", "best possible (truth)"


def curve_frame(run: ShopRun) -> pl.DataFrame:
    """``sessions``, ``series``, ``reward`` a session. Truth is the simulator's, heard what was accepted."""
    arms = {arm.id: arm for arm in run.catalogue.arms}
    by_number = {session.number: session.shopper for session in run.world}
    decided = run.tally.decided
    size = max(len(decided) // _BINS, 1)
    rows: list[tuple[int, str, float]] = []
    for start in range(0, len(decided), size):
        part = decided[start : start + size]
        truth = sum(expected_reward(by_number[one.number], arms[one.arm]) for one in part) / len(part)
        at = start + len(part)
        rows += [(at, SERVED, truth), (at, HEARD, sum(one.rewarded for one in part) / len(part))]
    rows += [(one.sessions, GREEDY, worth_of(one.weights, run.catalogue).greedy) for one in run.snapshots]
    uniform, best = uniform_value(run.catalogue.arms), best_value(run.catalogue.arms)
    rows += [
        (at, name, value) for at in (0, len(decided)) for name, value in ((UNIFORM, uniform), (BEST, best))
    ]
    return pl.DataFrame(rows, schema=["sessions", "series", "reward"], orient="row")


def write_curve(run: ShopRun, path: Path) -> None:
    """The plot as PNG."""
    order = [BEST, GREEDY, SERVED, HEARD, UNIFORM]
    lines = (
        alt.Chart(curve_frame(run))
        .mark_line(clip=True)
        .encode(
            x=alt.X("sessions:Q"),
            y=alt.Y("reward:Q", title="purchases a session"),
            color=alt.Color("series:N", sort=order, title=None),
        )
    )
    chart = alt.layer(lines, *_change(run)).properties(
        width=640, height=320, title="What the shop earns while it learns"
    )
    path.write_bytes(vl_convert.vegalite_to_png(chart.to_json(), scale=_PNG_SCALE))


def _change(run: ShopRun) -> tuple[alt.Chart, alt.Chart]:
    """Where the application began to explore otherwise."""
    at = alt.Chart(pl.DataFrame({"sessions": [run.changed_at], "told": [f"{SEGMENT}, {CHALLENGER}"]}))
    x = alt.X("sessions:Q")
    rule = at.mark_rule(strokeDash=[4, 4], color="grey").encode(x=x)
    word = at.mark_text(align="left", dx=4, dy=-150, color="grey").encode(x=x, text="told:N")
    return rule, word
