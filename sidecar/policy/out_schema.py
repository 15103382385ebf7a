"""The out-schema's check, the last thing before an answer leaves: what breaks it is the model's fault.

The service checks what it is told once more and does without; here it is said loudly.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt

from sidecar.contracts.errors import BadAnswer
from sidecar.contracts.wire import ScoreResponse
from sidecar.policy.table import Table

_FLOAT32, _FLOAT64 = 4, 8
_TOLERANCE = 1e-9
"""How far the probabilities of a row may be from 1 altogether."""


def checked(response: ScoreResponse, table: Table) -> ScoreResponse:
    """The response, if it answers every row of the table, with a finite number for every eligible arm.

    Raises:
        BadAnswer: it does not.
    """
    rows, models = response.rows, response.models
    sizes = [end - start for start, end in pairwise(table.ends)]
    if [len(row.scores) for row in rows] != [_FLOAT32 * size for size in sizes] or [
        len(row.pmf) for row in rows
    ] != [_FLOAT64 * size for size in sizes]:
        told = [(len(row.scores), len(row.pmf)) for row in rows]
        raise BadAnswer(f"rows of {told} bytes of scores and pmf for {sizes} arms")
    for row in rows:
        if not {len(row.expected), len(row.ranks)} <= {0, len(row.scores)}:
            raise BadAnswer(f"the meaning of {len(row.scores)} bytes of scores has {len(row.expected)} bytes")
    if any(len(one.scores) != _FLOAT32 * table.ends[-1] for one in models):
        raise BadAnswer(f"a deployed version says something of more or fewer than {table.ends[-1]} arms")
    _check_finite(b"".join([row.scores for row in rows] + [one.scores for one in models]))
    _check_pmf(b"".join([row.pmf for row in rows]), table.ends)
    return response


def _check_finite(scores: bytes) -> None:
    finite = np.isfinite(np.frombuffer(scores, "<f4"))
    if not np.logical_and.reduce(finite):
        raise BadAnswer(f"scores: {finite.size - int(finite.sum())} of {finite.size} are not finite")


def _check_pmf(data: bytes, ends: list[int]) -> None:
    pmf: npt.NDArray[np.float64] = np.frombuffer(data, "<f8")
    if not pmf.size:
        return
    least, sums = np.minimum.reduce(pmf), np.add.reduceat(pmf, ends[:-1]).tolist()
    if not (least >= 0.0 and all(abs(one - 1.0) <= _TOLERANCE for one in sums)):
        raise BadAnswer(f"pmf: the least is {least}, the sums are {min(sums)} to {max(sums)}")
