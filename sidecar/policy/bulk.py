"""All rows of a request by all models: a row is adapted once, whatever scores it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sidecar.policy.adapters import RowInput
from sidecar.policy.model import Scorer, products, scores_by, terms_of_an_arm
from sidecar.policy.stacked import TERMS_AT_ONCE, Block, Stack, blocks
from sidecar.policy.table import Table

Float32s = npt.NDArray[np.float32]


def scores_by_all(table: Table, scorers: Sequence[Scorer]) -> list[Float32s]:
    """What each scorer says of all lines: ``(n_lines,)``, or of many models ``(n_lines, n_models)``.

    Rows are adapted also where nobody scores them: a broken one is refused by a cold model too.

    Raises:
        NothingToScore, UnknownCatalogue, BadEvent: as the in-adapter.
    """
    crossed = {pair for scorer in scorers for pair in scorer.interactions}
    said = [
        (block.places, [scores_of_block(scorer, block) for scorer in scorers])
        for block in blocks(table.rows, table.arms, crossed)
    ]
    return [
        _lines([(places, scores[n]) for places, scores in said], table.ends, scorer.shape)
        for n, scorer in enumerate(scorers)
    ]


def scores_of_block(scorer: Scorer, block: Block) -> Float32s:
    """``(n_rows, n_arms, ...)``; each row's bits are those that it has alone."""
    rows = block.inputs
    if isinstance(rows, RowInput):
        return scores_by(scorer, rows)[None]
    step, n_rows = _rows_at_once(scorer, rows), len(rows.context_hashes)
    if n_rows <= step:
        return scores_of_stack(scorer, rows)
    if step > 1:
        parts = [scores_of_stack(scorer, rows.part(start, start + step)) for start in range(0, n_rows, step)]
    else:
        parts = [scores_by(scorer, rows.row(place))[None] for place in range(n_rows)]
    return np.concatenate(parts)


def scores_of_stack(scorer: Scorer, rows: Stack) -> Float32s:
    """``(n_rows, n_arms, ...)``, added up as :func:`sidecar.policy.model.scores_by` does."""
    total = scorer.shared_sum(rows.context_hashes, rows.context_values)[:, None]
    total = total + scorer.own_sum(rows.arm_hashes, rows.arm_values)
    if "ca" in scorer.interactions:
        total = total + scorer.between_sum(*products(*rows))
    return (total + 0.0).astype(np.float32)


def _rows_at_once(scorer: Scorer, rows: Stack) -> int:
    """How many rows of a stack are small enough together for so many models."""
    _, n_arms, width = rows.arm_hashes.shape
    n_features, n_models = rows.context_hashes.shape[1], math.prod(scorer.shape)
    terms = n_arms * n_models * terms_of_an_arm(scorer.interactions, int(n_features), int(width))
    return TERMS_AT_ONCE // int(terms)


def _lines(
    said: Sequence[tuple[Sequence[int], Float32s]], ends: Sequence[int], shape: tuple[int, ...]
) -> Float32s:
    """Scores of blocks in the order of the table's lines."""
    if len(said) == 1:  # one block holds all rows, in their order
        return said[0][1].reshape(-1, *shape)
    lines, starts = np.empty((ends[-1], *shape), np.float32), np.array(ends)
    for places, scores in said:
        lines[starts[places][:, None] + np.arange(scores.shape[1])] = scores
    return lines
