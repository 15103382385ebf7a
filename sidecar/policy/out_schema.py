"""The out-schema's check, the last thing before an answer leaves: what breaks it is the model's fault.

The service checks what it is told once more and does without; here it is said loudly.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, starmap

import numpy as np
import numpy.typing as npt

from sidecar.contracts.errors import BadAnswer
from sidecar.contracts.wire import ScoreResponse
from sidecar.policy.exploration import are_finite
from sidecar.policy.table import Table

_FLOAT32, _FLOAT64 = 4, 8
_TOLERANCE = 1e-9
"""How far the probabilities of a row may be from 1 altogether."""


def checked(response: ScoreResponse, table: Table) -> ScoreResponse:
    """The response, if it answers every row of the table, with a finite number for every eligible arm.

    Raises:
        BadAnswer: it does not.
    """
    rows, models, sizes = response.rows, response.models, table.sizes
    scores, pmf = [row.scores for row in rows], [row.pmf for row in rows]
    logged = [row.expected for row in rows], [row.ranks for row in rows]
    told = _lengths((scores, pmf, *logged), sizes)
    if len(rows) != len(sizes) or not all(starmap(_fits, told)):
        raise BadAnswer(f"rows of {told} bytes of scores, pmf and their meaning for {sizes} arms")
    if any(len(one.scores) != _FLOAT32 * table.ends[-1] for one in models):
        raise BadAnswer(f"a deployed version says something of more or fewer than {table.ends[-1]} arms")
    _check_finite(b"".join(scores + [one.scores for one in models]))
    _check_pmf(b"".join(pmf), table.ends)
    return response


def _lengths(columns: Sequence[Sequence[bytes]], sizes: Sequence[int]) -> set[tuple[int, ...]]:
    """What the rows' bytes and arms are in number, each combination once; mostly there is one."""
    different = [*[{*map(len, column)} for column in columns], {*sizes}]
    if {*map(len, different)} == {1}:
        return {tuple(chain.from_iterable(different))}
    return {*zip(*[map(len, column) for column in columns], sizes, strict=False)}


def _fits(scores: int, pmf: int, expected: int, ranks: int, size: int) -> bool:
    """Whether the bytes of a row are those of so many arms."""
    return (scores, pmf) == (_FLOAT32 * size, _FLOAT64 * size) and {expected, ranks} <= {0, scores}


def _check_finite(scores: bytes) -> None:
    values = np.frombuffer(scores, "<f4")
    if not are_finite(values):
        lost = values.size - int(np.isfinite(values).sum())
        raise BadAnswer(f"scores: {lost} of {values.size} are not finite")


def _check_pmf(data: bytes, ends: list[int]) -> None:
    pmf: npt.NDArray[np.float64] = np.frombuffer(data, "<f8")
    if not pmf.size:
        return
    sums = np.add.reduceat(pmf, ends[:-1]).tolist()
    if 0 in (pmf >= 0.0).tobytes() or not max(max(sums) - 1.0, 1.0 - min(sums)) <= _TOLERANCE:
        raise BadAnswer(f"pmf: the least is {pmf.min()}, the sums are {min(sums)} to {max(sums)}")
