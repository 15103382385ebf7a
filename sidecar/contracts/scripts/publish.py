"""``publish.lua``: weights, version, epoch and stream positions in one fenced write."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import msgspec
from msgspec import Struct

from sidecar.contracts import keys
from sidecar.contracts.scripts.call import Call, text


class PublishStatus(StrEnum):
    """What became of a publication."""

    OK = "OK"
    """It stands (also: it stood already, the first reply was lost)."""
    FENCED = "FENCED"
    """A later learner took over: exit."""
    STALE = "STALE"
    """A version as new is published: load it and go on from there."""
    BASE = "BASE"
    """What stands is not what the delta was made from: publish the version whole."""


class Batch(Struct, frozen=True, array_like=True):
    """What was trained on in one go: a stretch of one partition's example stream, both ends included."""

    partition: int
    first: str
    last: str
    shuffled: bool = False
    """In the order that the learner draws from ``first`` (``shuffling.py``), not in that of the stream."""


class Publication(Struct, frozen=True, kw_only=True):
    """One version of the weights."""

    epoch: int
    version: int
    record: bytes
    """From ``weights.encode_weights``."""
    positions: Sequence[str]
    """Last example trained on, for each partition."""
    examples: int
    """Trained on so far."""
    batches: Sequence[Batch]
    """What this version was trained on since the one before, in order."""
    checksum: str
    """sha256 of ``record``, however the version travels."""
    delta: bytes = b""
    """From ``deltas.encode_delta``: the way from the version before; empty without one."""
    base_version: int = 0
    """The version before."""
    base_checksum: str = ""
    whole: bool = True
    """Whether ``record`` is written; without it there must be a delta."""
    base: str = ""
    """Id of the base that ``batches`` were trained on; empty: the version before."""


def publish_call(app: str, publication: Publication) -> Call:
    """The call that publishes."""
    where = (
        keys.weights(app),
        keys.weights_log(app),
        keys.epoch(app),
        keys.app_skew(app),
        keys.deltas(app),
    )
    what = (
        str(publication.epoch),
        str(publication.version),
        publication.record if publication.whole else b"",
        msgspec.json.encode(publication.positions),
        str(publication.examples),
        encode_batches(publication.batches),
        publication.checksum,
        publication.delta,
        str(publication.base_version),
        publication.base_checksum,
        publication.base,
    )
    return Call("publish", where, what)


def parse_publish(reply: bytes) -> PublishStatus:
    """The answer."""
    return PublishStatus(text(reply))


def encode_batches(batches: Sequence[Batch]) -> bytes:
    """``batches`` of an entry of the version log. Those in the stream's order are written as ever.

    >>> encode_batches([Batch(0, "1-0", "5-1"), Batch(1, "2-0", "2-0", shuffled=True)])
    b'[[0,"1-0","5-1"],[1,"2-0","2-0",true]]'
    """
    return msgspec.json.encode([(b.partition, b.first, b.last, *[True] * b.shuffled) for b in batches])


def decode_batches(data: bytes) -> tuple[Batch, ...]:
    """``batches`` of an entry of the version log."""
    return msgspec.json.decode(data, type=tuple[Batch, ...])


def decode_positions(data: bytes) -> tuple[str, ...]:
    """``positions`` of the weights' hash."""
    return msgspec.json.decode(data, type=tuple[str, ...])
