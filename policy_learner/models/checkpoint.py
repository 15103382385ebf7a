"""Checkpoints: the trainer's own state as of one published version, in a file.

The weights alone are not the state (the adaptive sums are missing), so a restart goes on from here and trains
again what was published since. ::

    magic "SDCK1" | sha256 of the rest | msgpack of Checkpoint

Files are named by version, written whole or not at all; the last two are kept. Beside each lies the weights
record of the same version, so that an evaluation can name a model as a file.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

import msgspec
from msgspec import Struct

from policy_learner.errors import BadCheckpoint
from policy_learner.failpoints import reached
from policy_learner.models.sealed import body_of, sealed

_MAGIC = b"SDCK1"
KEPT = 2

log = logging.getLogger("sidearm.learner")


class Checkpoint(Struct, frozen=True, kw_only=True):
    """Everything from which training can go on."""

    version: int
    """The published version whose state this is."""
    epoch: int
    """Of the learner that published it."""
    examples: int
    positions: tuple[str, ...]
    """Everything up to here has had its effect, in every partition."""
    trained: tuple[str, ...]
    """Last position trained on, in every partition: what the weights' header says."""
    state: bytes
    """The trainer's serialized state, which says of what model it is."""
    progressive: bytes = b""
    """The windows of the progressive metrics."""
    calibration: bytes = b""
    """The window that calibrator and ECDF are fitted on; empty: from before there was one."""
    watched: int | None = None
    """Examples that the metrics have seen; None: all."""


def save(folder: Path, checkpoint: Checkpoint, record: bytes) -> Path:
    """Write a checkpoint and its weights record; older ones than the last two are removed.

    Raises:
        OSError: the disk is full or away; earlier checkpoints stand.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / f"weights-{checkpoint.version}.bin", record)
    reached("record written")
    path = write_whole(folder / _name(checkpoint.version), encode(checkpoint))
    reached("checkpoint saved")
    for old in _versions(folder)[:-KEPT]:
        (folder / _name(old)).unlink(missing_ok=True)
        (folder / f"weights-{old}.bin").unlink(missing_ok=True)
    return path


def load_latest(folder: Path) -> Checkpoint | None:
    """The newest whole checkpoint; None when there is none. Damaged ones are passed over and named."""
    for version in reversed(_versions(folder)):
        path = folder / _name(version)
        try:
            return read(path)
        except BadCheckpoint as error:
            log.error("%s; trying the one before", error)
    return None


def newest_version(folder: Path) -> int:
    """The version of the newest checkpoint, whole or not; 0 when there is none."""
    return max(_versions(folder), default=0)


def read(path: Path) -> Checkpoint:
    """A checkpoint from its file.

    Raises:
        BadCheckpoint: short, altered, or something else.
    """
    return decode(path.read_bytes(), str(path))


def encode(checkpoint: Checkpoint) -> bytes:
    """As it lies in its file."""
    return sealed(_MAGIC, msgspec.msgpack.encode(checkpoint))


def decode(data: bytes, path: str) -> Checkpoint:
    """A checkpoint from the bytes of the file ``path``.

    Raises:
        BadCheckpoint: short, altered, or something else.
    """
    body = body_of(_MAGIC, data)
    if body is None:
        raise BadCheckpoint(f"{path} is no whole checkpoint: {len(data)} bytes, cut or altered")
    try:
        return msgspec.msgpack.decode(body, type=Checkpoint)
    except msgspec.MsgspecError as error:
        raise BadCheckpoint(f"{path}: {error}") from error


def _name(version: int) -> str:
    return f"{version}.checkpoint"


def _versions(folder: Path) -> list[int]:
    return sorted(int(path.stem) for path in folder.glob("*.checkpoint") if path.stem.isdigit())


def write_whole(path: Path, data: bytes) -> Path:
    """A file on disk that holds all of ``data``, or is as it was."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    reached("checkpoint written")
    temporary.replace(path)
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return path
