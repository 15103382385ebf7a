"""The shop's rules of segments: `sidearm explore segment evening --rule evening --epsilon 0.3` uses one."""

from __future__ import annotations

from collections.abc import Mapping


def evening(context: Mapping[str, str | float | bool]) -> bool:
    """Decisions of the evening, by the feature that the graph makes of the hour."""
    return context.get("hour_band") == "evening"
