"""What a request becomes: a table, a line for every eligible arm of every row; steps add columns to it."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sidecar.contracts.errors import BadAnswer
from sidecar.contracts.wire import ScoreRow
from sidecar.policy.arm_table import ArmTable

SCORE, EXPECTED, RANK, PMF, BASE = "score", "expected", "rank", "pmf", "base"
"""Columns."""
SERVED = 0
"""Stands for the version of the model that is served, whichever it is."""
Column = npt.NDArray[np.floating[Any]]


class Table(NamedTuple):
    """Rows are never taken out, added or moved: only columns are added."""

    rows: tuple[ScoreRow, ...]
    arms: ArmTable | None
    """The catalogue that the rows point into."""
    sizes: list[int]
    """How many lines each row has: one for each of its arms."""
    ends: list[int]
    """The lines of row ``i`` are those from ``ends[i]`` on, before ``ends[i + 1]``."""
    columns: dict[str, Column]
    """Each ``(n_lines,)``."""

    def with_columns(self, added: Mapping[str, Column]) -> Table:
        """With some columns more.

        Raises:
            BadAnswer: one has another number of lines.
        """
        for name, values in added.items():
            if values.shape != (self.ends[-1],):
                raise BadAnswer(f"column {name!r} has shape {values.shape}, the table {self.ends[-1]} lines")
        return Table(self.rows, self.arms, self.sizes, self.ends, {**self.columns, **added})

    def cut(self, name: str) -> list[bytes]:
        """A column's bytes, row by row; of one that there is not, none."""
        values = self.columns.get(name)
        if values is None:
            return [b""] * len(self.rows)
        sizes = {*self.sizes}
        if len(sizes) == 1 and (width := sizes.pop() * values.itemsize):  # as nearly always
            cells: list[bytes] = np.ascontiguousarray(values).view(f"V{width}").tolist()
            return cells
        data, size = values.tobytes(), values.itemsize
        return [data[start * size : end * size] for start, end in pairwise(self.ends)]


def table_of(rows: tuple[ScoreRow, ...], arms: ArmTable | None) -> Table:
    """The rows, with no column yet."""
    n_all = 0 if arms is None else len(arms.ids)
    sizes = [len(row.given_arms) or (n_all if row.arms is None else len(row.arms)) for row in rows]
    return Table(rows, arms, sizes, [*accumulate(sizes, initial=0)], {})


def of(version: int, name: str) -> str:
    """A column of one model: of the one that is served (``SERVED``) or of a deployed version.

    >>> of(SERVED, SCORE), of(7, SCORE)
    ('score', 'score@7')
    """
    return name if version == SERVED else f"{name}@{version}"
