"""A container's answer row by row: what it says of each decision."""

from __future__ import annotations

from itertools import accumulate, pairwise

from msgspec import Struct

from decision_service.errors import SidecarFailed
from decision_service.row_stacks import Row, rows_of
from sidecar.contracts.base_model import BaseColumn, columns_of
from sidecar.contracts.errors import BadEvent
from sidecar.contracts.wire import ScoreResponse, VersionScores, decode_response


class RowScores(Struct, frozen=True):
    """One decision's scores, and which weights gave them."""

    scores: bytes
    """float32 little-endian, one per eligible arm."""
    model_version: int
    cold: bool
    expected: bytes = b""
    """float32 likewise: the reward to be expected; empty when it was not asked for, or is not known."""
    ranks: bytes = b""
    """float32 likewise: the share of arms shown lately that were scored no higher."""
    base: BaseColumn | None = None
    """What the base model said, if there is one."""
    models: tuple[VersionScores, ...] = ()
    """What deployed versions say of this decision."""
    row: Row | None = None
    """``scores`` as a row among those that came with them, where there are such."""


def decoded(body: bytes) -> ScoreResponse:
    """An answer, if it is one.

    Raises:
        SidecarFailed: it is none.
    """
    try:
        return decode_response(body)
    except (BadEvent, UnicodeDecodeError) as error:
        raise SidecarFailed(str(error)) from error


def scores_of(response: ScoreResponse, rows: int) -> list[RowScores]:
    """What it says of each of ``rows`` decisions, in their order.

    Raises:
        SidecarFailed: of another number of decisions, or of arms.
    """
    if len(response.rows) != rows:
        raise SidecarFailed(f"{rows} rows in, {len(response.rows)} rows out")
    version, cold = response.model_version, response.cold
    bases = columns_of(response)
    if len(bases) != rows:
        raise SidecarFailed(f"{rows} rows in, {len(bases)} scores of the base model out")
    models = _by_row(response)
    places = rows_of([row.scores for row in response.rows])
    return [
        RowScores(row.scores, version, cold, row.expected, row.ranks, base, said, place)
        for row, base, said, place in zip(response.rows, bases, models, places, strict=True)
    ]


def _by_row(response: ScoreResponse) -> list[tuple[VersionScores, ...]]:
    """What the deployed versions say of each row.

    Raises:
        SidecarFailed: of another number of arms than the rows have.
    """
    if not response.models:
        return [()] * len(response.rows)
    ends = list(accumulate([len(row.scores) for row in response.rows], initial=0))
    for one in response.models:
        if not (len(one.scores) == ends[-1] and {len(one.expected), len(one.ranks)} <= {0, ends[-1]}):
            raise SidecarFailed(f"{len(one.scores)} bytes of scores of version {one.version}, not {ends[-1]}")
    return [
        tuple(
            [
                VersionScores(
                    one.version, one.scores[start:end], one.expected[start:end], one.ranks[start:end]
                )
                for one in response.models
            ]
        )
        for start, end in pairwise(ends)
    ]
