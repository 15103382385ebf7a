"""Log rows to scored rows: what the target policy would have done, and what the model expects of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from offline_eval.batches import Batch, read_batches
from offline_eval.dataset import Log
from offline_eval.errors import BadCandidate
from offline_eval.groups import DAY, GROUP, GROUPINGS, SEGMENT
from offline_eval.reward_model import Expecting
from offline_eval.target_policy import TargetPolicy
from offline_eval.terms import Floats

BATCH_ROWS = 20_000
SUMMED_ROWS = 400_000
"""Scored rows that are summed at a time, those of all candidates together: some 40 MB."""
_MODEL_KEY = "model_key"
_MASS_TOLERANCE = 1e-6
_INVALID = -1.0  # no probability, and rejected as such


def score_log(
    log: Log,
    candidates: Sequence[TargetPolicy],
    model: Expecting,
    model_keys: tuple[str, ...] = (),
    status: str = "",
    by: tuple[str, ...] = (),
    batch_rows: int = BATCH_ROWS,
) -> Iterator[dict[str, pa.Table]]:
    """Read the log once and score every batch for every candidate.

    Args:
        log: to read.
        candidates: names must differ.
        model: the reward model behind q and v.
        model_keys: the keys that it was fitted with.
        status: of the rows to score; '' for those that count.
        by: what rows are grouped by (``offline_eval.row_keys``).
        batch_rows: rows in memory at a time.

    Yields:
        For every batch, a candidate's name to a scored table: the columns of ``scan.SCORED_COLUMNS``,
        decision_id, slot, unit_bucket and ``groups.GROUPINGS``.

    Raises:
        BadCandidate: two candidates of one name.
    """
    names = [candidate.name for candidate in candidates]
    if twice := {name for name in names if names.count(name) > 1}:
        raise BadCandidate(f"candidate {', '.join(sorted(twice))} is named twice")
    keys = {f"key_{candidate.name}": candidate.key for candidate in candidates}
    keys |= {_MODEL_KEY: model_keys, GROUP: by, DAY: ("day",), SEGMENT: ("segment",)}
    with_events = model.needs_events or any(candidate.needs_events for candidate in candidates)
    for batch in read_batches(log, status, keys, with_events, batch_rows):
        expected = model.expected(batch, _MODEL_KEY)
        yield {candidate.name: _scored(batch, candidate, expected) for candidate in candidates}


def gathered(
    batches: Iterable[dict[str, pa.Table]], most_rows: int = SUMMED_ROWS
) -> Iterator[dict[str, pa.Table]]:
    """Batches put together until they have so many rows: a scan has its price, however few its rows."""
    waiting: list[dict[str, pa.Table]] = []
    rows = 0
    for tables in batches:
        waiting.append(tables)
        rows += sum(map(len, tables.values()))
        if rows >= most_rows:
            yield _put_together(waiting)
            waiting, rows = [], 0
    if waiting:
        yield _put_together(waiting)


def _put_together(waiting: list[dict[str, pa.Table]]) -> dict[str, pa.Table]:
    return {name: pa.concat_tables([tables[name] for tables in waiting]) for name in waiting[0]}


def _scored(batch: Batch, candidate: TargetPolicy, expected: Floats) -> pa.Table:
    pmf = candidate.pmf(batch)
    mass = batch.sum_by_row(pmf)
    # Divided by its own mass, so that a table that sums to 0.9999999 biases nothing.
    # An arm that the policy never shows adds nothing, whatever is (or is not) expected of it: 0 x NaN is NaN.
    worth = np.where(pmf == 0.0, 0.0, pmf * expected)
    mean = np.divide(batch.sum_by_row(worth), mass, out=np.full(len(mass), np.nan), where=mass != 0)
    reachable = np.where(np.isnan(batch.logged_pmf), np.nan, pmf * (batch.logged_pmf > 0))
    support = batch.sum_by_row(reachable)
    kept = batch.table.select(
        ["decision_id", "slot", "reward", "propensity", "inclusion_probability", "unit_bucket", *GROUPINGS]
    )
    added = {
        "e": np.where(_is_no_pmf(batch, pmf, mass), _INVALID, candidate.chosen(batch, pmf)),
        "q": expected[batch.chosen],
        "v": mean,
        "support": support,
    }
    for name, values in added.items():
        kept = kept.append_column(name, pa.array(values, pa.float64(), mask=np.isnan(values)))
    return kept


def _is_no_pmf(batch: Batch, pmf: Floats, mass: Floats) -> npt.NDArray[np.bool_]:
    """(n,) whose probabilities sum to something else than one, or lie outside [0, 1], is no policy there."""
    outside = batch.sum_by_row(((pmf < 0) | (pmf > 1 + _MASS_TOLERANCE)).astype(np.float64)) > 0
    wrong: npt.NDArray[np.bool_] = outside | (abs(mass - 1) > _MASS_TOLERANCE)
    return wrong
