"""Rows of the log in batches, with their ragged lists of arms as flat arrays.

A batch of n rows with m eligible arms in all: row i's arms are ``[offsets[i], offsets[i + 1])`` of every flat
array. A log is never held whole: memory is that of one batch.
"""

# ruff: noqa: S608 - SQL is made of our own names, and values go through engine.literal
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from offline_eval.dataset import VIEW, Log
from offline_eval.row_keys import key_sql
from offline_eval.term_sql import identifier
from offline_eval.terms import Floats
from sidecar.contracts.events import DecisionEvent, decode_decision

_COLUMNS = (
    "decision_id, slot, CAST(reward AS DOUBLE) AS reward, propensity, inclusion_probability, unit_bucket,"
    " catalogue, arm_index, arms, pmf, reward_source_n"
)


@dataclass(frozen=True, eq=False)
class Batch:
    """Some rows of the log."""

    table: pa.Table
    log: Log
    """Where they come from."""

    @cached_property
    def offsets(self) -> npt.NDArray[np.int64]:
        """(n + 1,) where each row's arms begin."""
        lengths = self.column("arms").value_lengths().to_numpy(zero_copy_only=False)
        return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])

    @cached_property
    def counts(self) -> npt.NDArray[np.int64]:
        """(n,) eligible arms of each row."""
        return np.diff(self.offsets)

    @cached_property
    def arms(self) -> pa.Array:
        """(m,) eligible arms."""
        return self.column("arms").flatten()

    @cached_property
    def chosen(self) -> npt.NDArray[np.int64]:
        """(n,) place of the shown arm in the flat arrays."""
        return self.offsets[:-1] + self.numbers("arm_index").astype(np.int64)

    @cached_property
    def logged_pmf(self) -> Floats:
        """(m,) the logging policy's probabilities, NaN where they were not logged."""
        pmf = self.column("pmf")
        known = pmf.is_valid().to_numpy(zero_copy_only=False)
        flat = np.full(int(self.offsets[-1]), np.nan)
        flat[np.repeat(known, self.counts)] = pmf.flatten().to_numpy(zero_copy_only=False)
        return flat

    @cached_property
    def events(self) -> list[DecisionEvent]:
        """(n,) the decisions as they were made."""
        return [decode_decision(payload) for payload in self.column("event").to_pylist()]

    def column(self, name: str) -> pa.Array:
        """A column in one piece."""
        return self.table[name].combine_chunks()

    def numbers(self, name: str) -> npt.NDArray[np.float64]:
        """A column without nulls as numbers."""
        values: npt.NDArray[np.float64] = self.column(name).to_numpy(zero_copy_only=False)
        return values

    def sum_by_row(self, flat: Floats) -> Floats:
        """(n,) sums of a flat array over each row's arms, none of which is without arms."""
        sums: Floats = np.add.reduceat(flat, self.offsets[:-1]) if len(flat) else np.zeros(0)
        return sums

    def __len__(self) -> int:
        return len(self.table)


def read_batches(
    log: Log, status: str, keys: dict[str, tuple[str, ...]], with_events: bool, batch_rows: int
) -> Iterator[Batch]:
    """The rows of one status, in the order of the log.

    Args:
        log: to read.
        status: '' for the rows that count, or a reason.
        keys: name of a column of the batch to what it is a key of (``offline_eval.row_keys``).
        with_events: whether the stored events are needed, which are most of the bytes; each row then also has
            the file that it is in, and its place there.
        batch_rows: rows at a time.
    """
    named = "".join(f", {key_sql(parts)} AS {identifier(name)}" for name, parts in keys.items())
    event = ", event, filename, file_row_number" if with_events else ""
    # A cursor of its own: an unread result blocks its connection.
    cursor = log.connection.cursor()
    reader = cursor.sql(
        f"SELECT {_COLUMNS}{named}{event} FROM {VIEW} WHERE status = '{status}'"
    ).to_arrow_reader(batch_rows)
    for record_batch in reader:
        if len(record_batch):
            yield Batch(pa.Table.from_batches([record_batch]), log)
