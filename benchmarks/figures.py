"""One figure of a benchmark, and the flat file that holds them all."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping
from math import inf
from pathlib import Path
from typing import NamedTuple

Quartiles = tuple[float, float]


class Figure(NamedTuple):
    """A measured value beside its yardstick, both of the same run."""

    name: str
    value: float
    unit: str
    yardstick: float
    yardstick_name: str
    at_least: float | None = None
    """Smallest ratio that passes."""
    at_most: float | None = None
    """Largest ratio that passes. A figure has one of the two or, where it is only reported, neither."""
    value_quartiles: Quartiles | None = None
    yardstick_quartiles: Quartiles | None = None
    facts: Mapping[str, object] = {}
    """Python, loop, machine, tries: whatever else the row should tell."""
    lacks: str = ""
    """What belongs to the figure and could not be measured here: it is then no pass."""

    @property
    def ratio(self) -> float:
        """Value over yardstick.

        >>> Figure("learner.x", 30.0, "examples/s", 60.0, "theirs").ratio
        0.5
        """
        return self.value / self.yardstick

    @property
    def strain(self) -> float:
        """How much of its gate the ratio uses up: above 1 it is missed; 0 without a gate.

        >>> Figure("x", 3.0, "µs", 2.0, "theirs", at_most=2.0).strain
        0.75
        >>> Figure("x", 4.0, "/s", 1.0, "theirs", at_least=8.0).strain
        2.0
        """
        if self.at_most is not None:
            return self.ratio / self.at_most
        if self.at_least is None:
            return 0.0
        return self.at_least / self.ratio if self.ratio > 0 else inf

    @property
    def passed(self) -> bool | None:
        """True if the gate, where there is one, is met; None if that is not known for all of it.

        >>> Figure("x", 3.0, "µs", 2.0, "theirs", at_most=1.4).passed
        False
        """
        return False if self.strain > 1.0 else None if self.lacks else True

    @property
    def gate(self) -> float | None:
        """The limit, whichever it is; None where the figure is only reported."""
        return self.at_least if self.at_most is None else self.at_most

    @property
    def gate_text(self) -> str:
        """For a table.

        >>> Figure("x", 3.0, "µs", 2.0, "theirs", at_most=1.4).gate_text
        '≤ 1.4'
        """
        if self.gate is None:
            return "–"
        return f"≥ {self.at_least}" if self.at_most is None else f"≤ {self.at_most}"

    def as_row(self) -> dict[str, object]:
        """What the file holds under the figure's name."""
        gate_is = None if self.gate is None else "at least" if self.at_most is None else "at most"
        row = {
            "value": round(self.value, 3),
            "unit": self.unit,
            "yardstick": round(self.yardstick, 3),
            "yardstick_name": self.yardstick_name,
            "ratio": round(self.ratio, 4),
            "gate": self.gate,
            "gate_is": gate_is,
            "pass": self.passed,
        }
        if self.lacks:
            row["absent"] = self.lacks
        if self.value_quartiles and self.yardstick_quartiles:
            row["value_quartiles"] = [round(quartile, 3) for quartile in self.value_quartiles]
            row["yardstick_quartiles"] = [round(quartile, 3) for quartile in self.yardstick_quartiles]
        return row | dict(self.facts)


class Absent(NamedTuple):
    """A figure that could not be measured here: neither passed nor missed."""

    name: str
    why: str

    @property
    def passed(self) -> None:
        """Nothing was measured."""
        return None

    def as_row(self) -> dict[str, object]:
        """What the file holds under the figure's name."""
        return {"value": None, "absent": self.why, "pass": None}


class Broken(NamedTuple):
    """A measurement that ended in an error: missed."""

    name: str
    why: str

    @property
    def passed(self) -> bool:
        """Nothing that breaks passes."""
        return False

    def as_row(self) -> dict[str, object]:
        """What the file holds under the figure's name."""
        return {"value": None, "error": self.why, "pass": False}


Row = Figure | Absent | Broken
"""What the file holds: a figure, or the word why there is none."""


def write(rows: Iterable[Row], path: Path) -> None:
    """Merge the rows into the flat object at ``path``; a row replaces all that stands below its name."""
    found = {row.name: row.as_row() for row in rows}
    known = json.loads(path.read_text()) if path.exists() else {}
    kept = {name: row for name, row in known.items() if not any(name.startswith(f"{new}.") for new in found)}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(kept | found, indent=1) + "\n")


def median_of(runs: list[float]) -> float:
    """The middle one: machines are shared, single runs are noise."""
    return statistics.median(runs)
