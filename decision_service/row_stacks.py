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
    if len({*map(len, columns)}) == 1:  # as mostly
        return _together(columns)
    found: list[Row | None] = [None] * len(columns)
    by_length: dict[int, list[int]] = {}
    for place, column in enumerate(columns):
        by_length.setdefault(len(column), []).append(place)
    for places in by_length.values():
        for place, row in zip(places, _together([columns[place] for place in places]), strict=True):
            found[place] = row
    return found


def _together(columns: Sequence[bytes]) -> list[Row | None]:
    """Those of one length."""
    count, length = len(columns), len(columns[0])
    if count > 1 and length > 0 and length % 4 == 0:
        scores = np.frombuffer(b"".join(columns), "<f4").reshape(count, length // 4)
        if are_finite(scores):
            stack = RowStack(scores)
            return [Row(stack, place) for place in range(count)]
    return [None] * count
