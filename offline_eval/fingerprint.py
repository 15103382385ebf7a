"""What an evaluation was made of, as one hash: files, window, candidates with their weights, options."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import msgspec

from offline_eval.dataset import Log
from offline_eval.kept_scores import digest_of
from offline_eval.target_policy import Scored, Table, TargetPolicy

_TAIL = 8
_LENGTH = 4


def fingerprint(log: Log, *parts: object) -> str:
    """SHA-256 over the log's files (name, size, footer), its window, and ``parts``.

    A Parquet file ends with its footer: where its columns lie, how long they are and what values they span.
    Files of a log are written once, so that no byte of the rows has to be read.
    """
    digest = hashlib.sha256(msgspec.json.encode([log.window, *parts]))
    for line in _files(log):
        digest.update(line)
    return digest.hexdigest()


def identity(policy: TargetPolicy) -> tuple[str, str]:
    """Name, and a digest of the weights or the table behind it; a function is known by its name alone."""
    if isinstance(policy, Scored):
        return policy.name, digest_of(policy)
    return policy.name, policy.digest if isinstance(policy, Table) else ""


def _files(log: Log) -> Iterable[bytes]:
    for path in log.files:
        name = path.relative_to(log.folder).as_posix()
        yield f"{name}\0{path.stat().st_size}\0".encode() + _footer(path)


def _footer(path: Path) -> bytes:
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(size - _TAIL, 0))
        length = int.from_bytes(file.read(_LENGTH), "little") + _TAIL
        file.seek(max(size - length, 0))
        return file.read()
