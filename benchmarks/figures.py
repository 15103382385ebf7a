"""One figure of a benchmark, and the flat file that holds them all."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

Quartiles = tuple[float, float]


class Row(Protocol):
    """What the file holds: a figure, or the word why there is none."""

    @property
    def name(self) -> str:
        """The key in the file."""

    @property
    def passed(self) -> bool | None:
        """None where nothing was measured."""

    def as_row(self) -> dict[str, object]:
        """What stands under the name."""


class Figure(NamedTuple):
    """A measured value beside its yardstick, both of the same run."""

    name: str
    value: float
    unit: str
    yardstick: float
    yardstick_name: str
    at_least: float | None = None
    """Smallest ratio that passes; a figure without a gate is only reported."""
    at_most: float | None = None
    """Largest ratio that passes."""
    value_quartiles: Quartiles | None = None
    yardstick_quartiles: Quartiles | None = None
    facts: Mapping[str, object] = {}
    """Python, loop, machine, tries: whatever else the row should tell."""

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
        over = 0.0 if self.at_most is None else self.ratio / self.at_most
        under = 0.0 if self.at_least is None else self.at_least / self.ratio
        return max(over, under)

    @property
    def passed(self) -> bool:
        """True if no gate is missed.

        >>> Figure("x", 3.0, "µs", 2.0, "theirs", at_most=1.4).passed
        False
        """
        return self.strain <= 1.0

    def as_row(self) -> dict[str, object]:
        """What the file holds under the figure's name."""
        gate, gate_is = (self.at_least, "at least") if self.at_most is None else (self.at_most, "at most")
        row = {
            "value": round(self.value, 3),
            "unit": self.unit,
            "yardstick": round(self.yardstick, 3),
            "yardstick_name": self.yardstick_name,
            "ratio": round(self.ratio, 4),
            "gate": gate,
            "gate_is": None if gate is None else gate_is,
            "pass": self.passed,
        }
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
    error: str
    passed: bool = False

    def as_row(self) -> dict[str, object]:
        """What the file holds under the figure's name."""
        return {"value": None, "error": self.error, "pass": False}


def write(rows: Iterable[Row], path: Path) -> None:
    """Merge the rows into the flat object at ``path``."""
    known = json.loads(path.read_text()) if path.exists() else {}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(known | {row.name: row.as_row() for row in rows}, indent=1) + "\n")


def median_of(runs: list[float]) -> float:
    """The middle one: machines are shared, single runs are noise."""
    return statistics.median(runs)
