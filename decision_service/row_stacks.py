"""Scores of decisions that came back together, as rows of one array: checked, and made probabilities, once.

A row's probabilities are, to the last bit, what it would have alone (``sidecar.policy.exploration.pmf_of``).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from sidecar.contracts.application import Exploration
from sidecar.policy.exploration import Pmf, are_finite, pmf_of_finite
from sidecar.policy.sampling import cumulative_of, place_in

Scores = npt.NDArray[np.float32]


class RowStack:
    """Rows of equally many scores, all of them finite.

    Args:
        scores: ``(n_rows, n_arms)``.
    """

    __slots__ = ("_made", "scores")

    def __init__(self, scores: Scores) -> None:
        self.scores = scores
        self._made: list[tuple[Exploration, Pmf, Pmf]] = []

    def explored(self, exploration: Exploration) -> tuple[Pmf, Pmf]:
        """The pmf of all rows and its running sums, if they explore so; made when the first one asks.

        Raises:
            PolicyError: as ``pmf_of``.
        """
        for how, pmf, cumulative in self._made:
            if how is exploration or how == exploration:
                return pmf, cumulative
        pmf = pmf_of_finite(self.scores, exploration)
        cumulative = cumulative_of(pmf)
        self._made.append((exploration, pmf, cumulative))
        return pmf, cumulative


class Row(Struct, frozen=True):
    """One decision's."""

    stack: RowStack
    place: int

    @property
    def scores(self) -> Scores:
        """``(n_arms,)``."""
        scores: Scores = self.stack.scores[self.place]
        return scores

    def drawn(self, exploration: Exploration, seed: int) -> tuple[Pmf, int]:
        """Its pmf, ``(n_arms,)``, and the place that ``sidecar.policy.sampling.draw`` picks from it.

        Raises:
            PolicyError: as ``pmf_of``.
        """
        all_pmf, cumulative = self.stack.explored(exploration)
        pmf: Pmf = all_pmf[self.place]
        return pmf, place_in(cumulative[self.place], pmf, seed)


def rows_of(columns: Sequence[bytes]) -> list[Row | None]:
    """Each column of float32 as a row of a stack; None where it is alone, torn, or not finite."""
    found: list[Row | None] = [None] * len(columns)
    by_length: dict[int, list[int]] = {}
    for place, column in enumerate(columns):
        by_length.setdefault(len(column), []).append(place)
    for length, places in by_length.items():
        if len(places) < 2 or length == 0 or length % 4:
            continue
        flat = np.frombuffer(b"".join([columns[place] for place in places]), "<f4")
        scores = flat.reshape(len(places), length // 4)
        if are_finite(scores):
            stack = RowStack(scores)
            for at, place in enumerate(places):
                found[place] = Row(stack, at)
    return found
