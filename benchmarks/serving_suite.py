"""All figures of the decision path, ``serving.*``, in pieces that can be run by themselves.

``make bench ARGS=serving`` takes some seven minutes. A piece takes one or two: of a machine that is shared,
it is the quiet minute that is hard to come by.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks import half_load, scoring, serving, wide_graph
from benchmarks.figures import Figure

Piece = Callable[[Path], Sequence[Figure]]
PIECES: Mapping[str, Piece] = {
    "serving_128": serving.at_many,
    "serving_32": serving.at_some,
    "serving_1": serving.one_at_a_time,
    "serving_learner": serving.beside_the_learner,
    "serving_rows": lambda scratch: scoring.figures(serving.sidecar_us(scratch)),
    "serving_half_load": half_load.figures,
    "serving_wide": wide_graph.figures,
    "serving_memory": half_load.memory_figures,
}


def figures(scratch: Path, tell: Callable[[str], None]) -> Iterator[Figure]:
    """The ladder, latency at half load, the wide graph, the sidecar's work on a row, memory.

    Raises:
        WrkMissing: with how to get it.
    """
    for place, (name, piece) in enumerate(PIECES.items(), 1):
        tell(f"{place} of {len(PIECES)}: {name} …")
        yield from piece(scratch)
