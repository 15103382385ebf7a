"""One figure of a benchmark, and the flat file that holds them all."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import NamedTuple


class Figure(NamedTuple):
    """A measured value beside its yardstick, both of the same run."""

    name: str
    value: float
    unit: str
    yardstick: float
    yardstick_name: str
    gate: float | None = None
    """Smallest ratio that passes; None where the figure is only reported."""

    @property
    def ratio(self) -> float:
        """Value over yardstick.

        >>> Figure("learner.x", 30.0, "examples/s", 60.0, "theirs").ratio
        0.5
        """
        return self.value / self.yardstick

    def as_row(self) -> dict[str, object]:
        """What the file holds under the figure's name."""
        passed = self.gate is None or self.ratio >= self.gate
        return {
            "value": round(self.value, 3),
            "unit": self.unit,
            "yardstick": round(self.yardstick, 3),
            "yardstick_name": self.yardstick_name,
            "ratio": round(self.ratio, 4),
            "gate": self.gate,
            "pass": passed,
        }


def write(figures: list[Figure], path: Path) -> None:
    """Merge the figures into the flat object at ``path``."""
    known = json.loads(path.read_text()) if path.exists() else {}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(known | {f.name: f.as_row() for f in figures}, indent=1) + "\n")


def median_of(runs: list[float]) -> float:
    """The middle one: machines are shared, single runs are noise."""
    return statistics.median(runs)
