"""A run drawn for a terminal: who started when, took how long, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from feature_graph.resolution import Span


def draw(spans: Sequence[Span], width: int = 60) -> str:
    """A line a span, bars to one scale of ``width`` characters from the run's start to its last end."""
    if not spans:
        return "nothing ran"
    whole_s = max(span.end_s for span in spans) or 1e-9
    margin = max(len(span.name) for span in spans)
    return "\n".join(_line(span, whole_s, margin, width) for span in spans)


def _line(span: Span, whole_s: float, margin: int, width: int) -> str:
    first = min(int(span.start_s / whole_s * width), width - 1)
    last = max(first + 1, round(span.end_s / whole_s * width))
    bar = " " * first + "█" * (last - first)
    took_ms = (span.end_s - span.start_s) * 1000
    return f"{span.name:<{margin}} |{bar:<{width}}| {took_ms:8.2f} ms  {span.status.value}"
