"""The ``scores`` dataset: what a candidate would have done, kept beside the log, so that it is scored once.

::

    scores/policy=<name>-<digest>/dt=<date>/<name of the decisions file>    row, pmf

A policy's digest is of its weights and its exploration: another version is another folder, and nothing in one
is ever stale. A file holds the rows that were asked for so far, by their places in the decisions file; those
that are missing are scored when they are asked for, and the file is written anew. What a reward model expects
is not kept: it depends on the rows that it was fitted on, and is quickly had from the probabilities.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from offline_eval.batches import Batch
from offline_eval.errors import BadLog
from offline_eval.target_policy import Scored, TargetPolicy
from offline_eval.terms import Floats
from sidecar.contracts.weights import encode_weights

_SCHEMA = pa.schema([("row", pa.int64()), ("pmf", pa.list_(pa.float64()))])
_DIGITS = 16


class Kept:
    """A policy that scores only what it has not scored before.

    Args:
        policy: that scores.
        folder: of the dataset, such as ``data/log/shop/scores``.
    """

    needs_events = True
    key: tuple[str, ...] = ()

    def __init__(self, policy: Scored, folder: Path) -> None:
        self.name = policy.name
        self.scored_rows = 0
        """Rows that were not there."""
        self._policy = policy
        self._folder = folder / f"policy={_plain(policy.name)}-{digest_of(policy)}"
        self._source = ""
        self._known = _SCHEMA.empty_table()
        self._is_written = True

    def pmf(self, batch: Batch) -> Floats:
        """(m,) probabilities of all eligible arms."""
        names, rows = batch.column("filename").to_pylist(), batch.column("file_row_number").to_numpy()
        cuts = [0, *(i for i in range(1, len(names)) if names[i] != names[i - 1]), len(names)]
        parts = [
            self._of_file(
                names[first], rows[first:last], Batch(batch.table.slice(first, last - first), batch.log)
            )
            for first, last in pairwise(cuts)
            if last > first
        ]
        return np.concatenate(parts) if parts else np.zeros(0)

    def chosen(self, batch: Batch, pmf: Floats) -> Floats:
        """(n,) probability of the arm that was shown."""
        return pmf[batch.chosen]

    def finish(self) -> None:
        """Write what has been scored since the last file was.

        Raises:
            BadLog: it cannot be written.
        """
        if not self._is_written:
            _write(self._known, self._path(self._source))
            self._is_written = True

    def _of_file(self, source: str, rows: np.ndarray, batch: Batch) -> Floats:
        if source != self._source:
            self.finish()
            self._source, self._known = source, _read(self._path(source))
        missing = np.flatnonzero(~np.isin(rows, self._known["row"].to_numpy()))
        if len(missing):
            self._score(rows[missing], Batch(batch.table.take(missing), batch.log))
        known = self._known["row"].to_numpy()
        order = np.argsort(known)
        places = order[np.searchsorted(known, rows, sorter=order)]
        pmf: Floats = self._known["pmf"].combine_chunks().take(pa.array(places)).flatten().to_numpy()
        return pmf

    def _score(self, rows: np.ndarray, batch: Batch) -> None:
        offsets = pa.array(batch.offsets.astype(np.int32))
        lists = pa.ListArray.from_arrays(offsets, pa.array(self._policy.pmf(batch), pa.float64()))
        added = pa.table([pa.array(rows, pa.int64()), lists], schema=_SCHEMA)
        self._known = pa.concat_tables([self._known, added])
        self._is_written = False
        self.scored_rows += len(rows)

    def _path(self, source: str) -> Path:
        path = Path(source)
        return self._folder / path.parent.name / path.name


def kept(policies: Sequence[TargetPolicy], folder: str) -> list[TargetPolicy]:
    """The policies, of which those that score do so once; none where no folder is named."""
    return [Kept(one, Path(folder)) if folder and isinstance(one, Scored) else one for one in policies]


def finish(policies: Sequence[TargetPolicy]) -> None:
    """Write what is not written yet.

    Raises:
        BadLog: it cannot be written.
    """
    for one in policies:
        if isinstance(one, Kept):
            one.finish()


def digest_of(policy: Scored) -> str:
    """Of what the policy's probabilities depend on, beside the decision."""
    digest = hashlib.sha256(encode_weights(policy.weights))
    digest.update(msgspec.msgpack.encode(policy.exploration))
    return digest.hexdigest()[:_DIGITS]


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9.]+", "-", name)


def _read(path: Path) -> pa.Table:
    """What is there; a file that cannot be read is as none, and written anew."""
    try:
        return pq.ParquetFile(path).read().cast(_SCHEMA)
    except (OSError, ValueError, pa.ArrowException):
        return _SCHEMA.empty_table()


def _write(table: pa.Table, path: Path) -> None:
    beside = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table.sort_by("row"), beside, compression="snappy")
        beside.replace(path)
    except OSError as error:
        raise BadLog(f"scores cannot be kept in {path.parent}: {error.strerror or error}") from error
