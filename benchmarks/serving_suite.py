"""All figures of the decision path, ``serving.*``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks import half_load, scoring, serving, wide_graph
from benchmarks.figures import Figure


def figures(scratch: Path) -> Iterator[Figure]:
    """The ladder, latency at half load, the wide graph, the sidecar's work on a row, memory.

    Raises:
        WrkMissing: with how to get it.
    """
    ladder = serving.figures(scratch)
    yield from ladder
    yield from scoring.figures(_sidecar_us(ladder))
    yield from half_load.figures(scratch)
    yield from wide_graph.figures(scratch)
    yield from half_load.memory_figures(scratch)


def _sidecar_us(ladder: list[Figure]) -> float:
    """Processor time of the sidecar's process for a decision at full load."""
    micros = ladder[0].facts["micros"]
    assert isinstance(micros, dict)
    return float(micros["sidecar"])
