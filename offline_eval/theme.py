"""How plots look: in reports always, in a notebook after :func:`use_theme`."""

from __future__ import annotations

import altair as alt
import vl_convert

NAME = "sidearm"
ACCENT, OTHER, MUTED = "#2f6fb0", "#d9822b", "#8a9099"
"""The first series, the second, and what others are held against."""
_TEXT, _SOFT, _LINE = "#23272d", "#565c66", "#dfe2e6"
_ON_PAGE = {_TEXT: "var(--text)", _SOFT: "var(--soft)", _LINE: "var(--line)"}
"""Colours that a page chooses anew when it is dark."""

_CONFIG: alt.theme.ThemeConfig = {
    "config": {
        "background": "transparent",
        "view": {"stroke": None},
        "mark": {"color": ACCENT},
        "axis": {
            "gridColor": _LINE, "domainColor": MUTED, "tickColor": MUTED, "labelColor": _SOFT,
            "titleColor": _SOFT, "titleFontWeight": "normal", "labelFontSize": 11, "titleFontSize": 12,
            "titlePadding": 8, "labelLimit": 220, "labelOverlap": True,
        },
        "header": {"labelColor": _TEXT, "labelFontSize": 13, "labelFontWeight": "bold", "titleColor": _SOFT},
        "legend": {"orient": "top", "labelColor": _SOFT, "titleColor": _SOFT, "labelFontSize": 12,
                   "symbolOpacity": 1},
        "title": {"anchor": "start", "color": _TEXT, "fontSize": 13, "subtitleColor": _SOFT},
        "text": {"color": _SOFT, "fontSize": 11},
        "range": {"category": [ACCENT, OTHER, "#3d8f6e", "#8a63b8", "#b8485a", "#6b7682"]},
        "line": {"strokeWidth": 2}, "point": {"filled": True, "size": 55, "opacity": 1},
    },
}  # fmt: skip


@alt.theme.register(NAME, enable=False)
def _theme() -> alt.theme.ThemeConfig:
    return _CONFIG


def use_theme() -> None:
    """Every plot of this kernel from now on, drawn where it stands: no script, no network."""
    alt.theme.enable(NAME)
    alt.renderers.enable("svg")


def svg(chart: alt.FacetChart | alt.LayerChart | alt.Chart) -> str:
    """A plot as SVG for a page that has ``--text``, ``--soft`` and ``--line``."""
    drawn: str = vl_convert.vegalite_to_svg(_json(chart))
    for colour, variable in _ON_PAGE.items():
        drawn = drawn.replace(colour, variable)
    return drawn


def png(chart: alt.FacetChart | alt.LayerChart | alt.Chart, scale: float) -> bytes:
    """A plot as PNG, on white."""
    with alt.theme.enable(NAME):
        drawn: bytes = vl_convert.vegalite_to_png(chart.properties(background="white").to_json(), scale=scale)
    return drawn


def _json(chart: alt.FacetChart | alt.LayerChart | alt.Chart) -> str:
    with alt.theme.enable(NAME):
        text: str = chart.to_json()
    return text
