"""Versions of the weights that are kept: what is said of each, who serves which, and which one is pinned.

A version is served again by a **pin**: a field that names a kept version, which every sidecar then serves
instead of the newest. The learner knows nothing of it and goes on publishing; a decision names the version
that scored it, so a replay finds the same bits whether that version was new or pinned.

Versions that were imported are numbered from ``IMPORTED_FROM`` on, which no learner's count reaches: ``i1``,
``i2``, … for people.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
import numpy as np
from msgspec import Meta, Struct

from sidecar.contracts.errors import BadModel
from sidecar.contracts.learner_report import Judgement
from sidecar.contracts.weights import Weights

IMPORTED_FROM = 10**12
Origin = Literal["published", "rebuilt", "imported"]


class ModelInfo(Struct, frozen=True, kw_only=True):
    """One version that is kept. Evolution: new fields have defaults, nothing changes type."""

    version: Annotated[int, Meta(ge=0)]
    epoch: Annotated[int, Meta(ge=0)]
    origin: Origin = "published"
    bits: int
    interactions: tuple[str, ...]
    examples: int
    positions: tuple[str, ...]
    trained_until_ms: int
    record_bytes: int
    checksum: str
    """sha256 of the record."""
    used: int
    """Weights that are not zero."""
    norm: float
    """Euclidean."""
    largest: float
    """Largest absolute weight."""
    judgement: Judgement | None = None
    """The gate's, where it is known."""
    note: str = ""
    """Of an imported one: where from."""


class Kept(Struct, frozen=True):
    """A version and when it was kept, by the store's clock."""

    at_ms: int
    info: ModelInfo


class Serving(Struct, frozen=True):
    """What a sidecar said of itself last."""

    sidecar: str
    at_ms: int
    version: int
    """0: cold."""
    pinned: bool
    word: str
    """Why it does not serve what it should; empty when it does."""


class Pin(Struct, frozen=True):
    """The version that is served instead of the newest."""

    version: int
    at_ms: int
    reason: str


def info_of(
    weights: Weights,
    record_bytes: int,
    checksum: str,
    origin: Origin = "published",
    judgement: Judgement | None = None,
    note: str = "",
) -> ModelInfo:
    """What is said of a version."""
    header, values = weights.header, weights.values
    return ModelInfo(
        version=header.version,
        epoch=header.epoch,
        origin=origin,
        bits=header.bits,
        interactions=header.interactions,
        examples=header.examples,
        positions=header.positions,
        trained_until_ms=header.trained_until_ms,
        record_bytes=record_bytes,
        checksum=checksum,
        used=int(np.count_nonzero(values)),
        norm=float(np.sqrt(np.sum(np.square(values, dtype=np.float64)))),
        largest=float(np.abs(values).max()),
        judgement=judgement,
        note=note,
    )


def encode_info(info: ModelInfo) -> bytes:
    """As it is stored."""
    return msgspec.json.encode(info)


def decode_kept(stored: bytes) -> Kept:
    """A field of ``keys.model_infos``.

    Raises:
        BadModel: it is none.
    """
    at_ms, _, info = stored.partition(b"|")
    try:
        return Kept(int(at_ms), msgspec.json.decode(info, type=ModelInfo))
    except ValueError as error:
        raise BadModel(f"{stored[:40]!r} says nothing of a version: {error}") from error


def decode_serving(sidecar: bytes, stored: bytes) -> Serving:
    """A field of ``keys.serving``.

    Raises:
        BadModel: it is none.
    """
    try:
        at_ms, version, pinned, word = stored.decode().split("|", 3)
        return Serving(sidecar.decode(), int(at_ms), int(version), pinned == "1", word)
    except ValueError as error:
        raise BadModel(f"{stored[:40]!r} is no word of a sidecar: {error}") from error


def foreign(version: int) -> int:
    """A version in another model container's own counting, which is not ours: negative in events.

    >>> foreign(0), foreign(12)
    (-1, -13)
    """
    return -1 - version


def name_of(version: int) -> str:
    """A version as people write it.

    >>> name_of(1234), name_of(10**12 + 2), name_of(foreign(12))
    ('1234', 'i2', 'its own 12')
    """
    if version < 0:
        return f"its own {-1 - version}"
    return f"i{version - IMPORTED_FROM}" if version > IMPORTED_FROM else str(version)


def version_of(name: str) -> int:
    """The version that a person means.

    Raises:
        BadModel: none.

    >>> version_of("1234"), version_of("i2") - 10**12
    (1234, 2)
    """
    digits = name.removeprefix("i")
    if not (digits.isascii() and digits.isdigit()) or int(digits) == 0:
        raise BadModel(
            f"{name!r} is no version: legal are numbers such as 1234, and i1, i2, … for imported ones"
        )
    return int(digits) + (IMPORTED_FROM if name.startswith("i") else 0)


def thinned(kept: list[Kept], most: int, most_bytes: int) -> list[int]:
    """Which published versions to forget, so that what is left is dense now and sparse long ago.

    Again and again the one goes whose absence leaves the smallest gap for its age, so the gaps grow with the
    age; the newest and the oldest stay as long as any. Imported and rebuilt ones are not counted: somebody
    wanted them.

    Args:
        kept: all that are kept, in any order.
        most: how many may stay.
        most_bytes: how many bytes of records may stay.
    """
    left = sorted([one for one in kept if one.info.origin == "published"], key=lambda one: one.info.version)
    gone = []
    while len(left) > 1 and (len(left) > most or sum(one.info.record_bytes for one in left) > most_bytes):
        gone.append(left.pop(_most_dispensable([one.at_ms for one in left])).info.version)
    return gone


def _most_dispensable(times: list[int]) -> int:
    if len(times) == 2:
        return 0
    newest = times[-1]

    def gap_for_age(place: int) -> float:
        return (times[place + 1] - times[place - 1]) / max(newest - times[place], 1)

    return min(range(1, len(times) - 1), key=gap_for_age)
