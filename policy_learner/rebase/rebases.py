"""Bases: models trained again from the log, from which the online one goes on. A file each, named by content.

::

    log/<app>/models/<id>.base      magic "SDBS1" | sha256 of the rest | msgpack of Base

The version log names a base by its id, which is the beginning of that checksum: whoever rebuilds a version
begins with the same bytes or with none. A file is written whole or not at all, and stays as long as a version
that begins with it can still be rebuilt.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import msgspec
from msgspec import Struct

from policy_learner.errors import BadBase
from policy_learner.failpoints import reached
from policy_learner.models.checkpoint import Checkpoint, write_whole
from policy_learner.models.sealed import body_of, checksum_of, sealed

_MAGIC = b"SDBS1"
_ID_DIGITS = 16
_SUFFIX = ".base"


class Recipe(Struct, frozen=True, kw_only=True):
    """How a base was trained. Evolution: new fields have defaults, nothing changes type."""

    from_ms: int
    """Decisions finalised from this moment on, by the store's clock,"""
    until_ms: int
    """and before this one."""
    tested_from_ms: int
    """From here on once, each example foreseen before it was learnt: what the comparison rests on."""
    epochs: int
    """Passes over what lies before that."""
    learning_rate: float
    examples: int
    """Trained on, every pass counted."""


class Base(Struct, frozen=True, kw_only=True):
    """A model and where it stands in the streams."""

    recipe: Recipe
    state: Checkpoint
    """``version`` and ``epoch`` are 0: nobody published it."""


def save(log: Path, base: Base) -> str:
    """Write a base, whole or not at all; its id. The same one again is one file.

    Raises:
        OSError: the disk is full or away.
    """
    data = sealed(_MAGIC, msgspec.msgpack.encode(base))
    name = checksum_of(_MAGIC, data)[:_ID_DIGITS]
    folder = _folder(log)
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / f"{name}{_SUFFIX}", data)
    reached("base written")
    return name


def load(log: Path, name: str) -> Base:
    """A base.

    Raises:
        BadBase: it is not there, cut or altered.
    """
    path = _folder(log) / f"{name}{_SUFFIX}"
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise BadBase(f"base {name} is not in {path.parent}") from None
    if checksum_of(_MAGIC, data)[:_ID_DIGITS] != name:
        raise BadBase(f"{path} is no whole base: {len(data)} bytes, cut or altered")
    return decode(data, path)


def decode(data: bytes, path: Path) -> Base:
    """A base from the bytes of the file ``path``, whatever its name.

    Raises:
        BadBase: cut or altered.
    """
    body = body_of(_MAGIC, data)
    if body is None:
        raise BadBase(f"{path} is no whole base: {len(data)} bytes, cut or altered")
    try:
        return msgspec.msgpack.decode(body, type=Base)
    except msgspec.MsgspecError as error:
        raise BadBase(f"{path}: {error}") from error


def clean(log: Path, needed: Collection[str], before_s: float) -> list[str]:
    """Remove bases that nobody needs and that were written before a moment; their ids.

    Args:
        log: root of the application's datasets.
        needed: ids of those that stay.
        before_s: Unix time: who has just written one has not told anybody of it yet.
    """
    gone = []
    for path in sorted(_folder(log).glob(f"*{_SUFFIX}")):
        if path.stem not in needed and path.stat().st_mtime < before_s:
            path.unlink(missing_ok=True)
            gone.append(path.stem)
    return gone


def _folder(log: Path) -> Path:
    return log / "models"
