"""A run drawn for a terminal: who started when, took how long, what came of it, what the run waited for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from feature_graph.resolution import Span

CRITICAL, OTHER, WAITING, DEADLINE = "█", "▒", "┄", "┊"
_COLOURS = {
    "ok": "32",
    "fallback": "33",
    "failed": "31",
    "timed_out": "31",
    "upstream_failed": "31",
    "cancelled": "90",
}
_LEAST_BAR = 10
_TIME_COLUMNS = 17
"""Bars' end, milliseconds and the gaps around them."""


@dataclass(frozen=True, slots=True)
class Marks:
    """What is known of a run besides its spans."""

    critical: frozenset[str] | None = None
    """Nodes that the run waited for; None: not known, and all are drawn alike."""
    waiting: frozenset[str] = frozenset()
    """Branches and first_ofs: their time is that of others."""
    blocked: Mapping[str, float] = field(default_factory=dict)
    """Node to the seconds for which it held the event loop."""
    deadline_s: float | None = None


def draw(
    spans: Sequence[Span],
    width: int | None = None,
    *,
    columns: int = 80,
    marks: Marks | None = None,
    colour: bool = False,
) -> str:
    """A line a span: ``█`` what the run waited for, ``▒`` other work, ``┄`` branches and choices that wait.

    Args:
        spans: a timeline.
        width: characters of the bars; the names and what came of them come on top. By default the whole
            line fits into ``columns``, and long names and notes are cut.
        columns: of the terminal.
        marks: the critical path, who blocked the loop, the deadline (``┊``, if the run reached it).
        colour: colour the bars by status, for terminals.
    """
    if not spans:
        return "nothing ran"
    marks = marks or Marks()
    tails = [_tail(span, marks) for span in spans]
    margin = max(len(span.name) for span in spans)
    if width is None:
        margin = min(margin, columns // 4)
        longest = max(map(len, tails))
        width = max(_LEAST_BAR, columns - margin - _TIME_COLUMNS - min(longest, columns // 3))
        tails = [_cut(tail, columns - margin - _TIME_COLUMNS - width) for tail in tails]
    whole_s = max(span.end_s for span in spans) or 1e-9
    at = None if marks.deadline_s is None else int(min(marks.deadline_s / whole_s, 2.0) * width)
    lines = []
    for span, tail in zip(spans, tails, strict=True):
        bar = _bar(span, whole_s, width, _glyph(span, marks), at, _COLOURS[span.status] if colour else None)
        took_ms = (span.end_s - span.start_s) * 1000
        lines.append(f"{_cut(span.name, margin):<{margin}} |{bar}| {took_ms:8.2f} ms  {tail}".rstrip())
    return "\n".join(lines)


def _bar(span: Span, whole_s: float, width: int, glyph: str, deadline: int | None, colour: str | None) -> str:
    first = min(int(span.start_s / whole_s * width + 1e-6), width - 1)  # 0.3 is not 3 * 0.1
    last = min(max(first + 1, round(span.end_s / whole_s * width)), width)
    cells = [" "] * width
    if deadline is not None and deadline <= width:
        cells[min(deadline, width - 1)] = DEADLINE
    cells[first:last] = glyph * (last - first)
    if colour is not None:
        cells[first] = f"\x1b[{colour}m{cells[first]}"
        cells[last - 1] += "\x1b[0m"
    return "".join(cells)


def _glyph(span: Span, marks: Marks) -> str:
    if span.name in marks.waiting:
        return WAITING
    return CRITICAL if marks.critical is None or span.name in marks.critical else OTHER


def _tail(span: Span, marks: Marks) -> str:
    held_s = marks.blocked.get(span.name)
    held = [] if held_s is None else [f"held the loop {held_s * 1000:.0f} ms"]
    told = [*held, *told_notes(span.notes)]
    return f"{span.status.value}{'  ' if told else ''}{', '.join(told)}"


def told_notes(notes: Mapping[str, object]) -> list[str]:
    """Notes in a person's words; those that say what anybody expects are left out."""
    return [told for key, value in notes.items() if (told := _told(key, value))]


def _told(key: str, value: object) -> str:
    if key == "attempts":
        return "" if value == 1 else f"×{value}"
    if key == "batch":
        return f"batch of {value}"
    if key == "elements":
        return f"{value} elements"
    if isinstance(value, float):
        shown = f"{value * 1000:.0f} ms" if key.endswith("_s") and value < 1 else f"{value:.3g}"
        return f"{key.removesuffix('_s')} {shown}{' s' if key.endswith('_s') and value >= 1 else ''}"
    return f"{key} {value}"


def _cut(text: str, to: int) -> str:
    return text if len(text) <= to else f"{text[: max(0, to - 1)]}…"
