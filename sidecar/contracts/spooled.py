"""What is written down beside a service while its store is away: records of a file that only grows.

A record is its length and its checksum, four bytes each, little-endian, and then msgpack. A file ends at its
first record that is not whole: that is where the process or the machine stopped, and nobody was told of it.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Literal

import msgspec
from msgspec import Struct

from sidecar.contracts.reward_section import RewardMode

_HEAD = struct.Struct("<II")
MOST_BYTES = 64 * 1024 * 1024
"""No record is longer: a length beyond it is damage."""

SpooledKind = Literal["decision", "reward", "activation"]


class Spooled(Struct, frozen=True, omit_defaults=True):
    """One thing that the store is to hear of when it is back."""

    kind: SpooledKind
    at_ms: int
    """When it was written down, by the service's wall clock."""
    body: bytes
    """A decision as ``events.encode_decision`` gives it; the others as JSON of their public request, whose
    idempotency key is filled in."""
    mode: RewardMode = "wait"
    """Of a decision: how it will be joined."""
    decision_id: str = ""
    """Of an activation."""
    kept_as: str = ""
    """Of a decision of a session that keeps what it is given: what it asked for."""


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Spooled)


def encode_spooled(record: Spooled) -> bytes:
    """A record as it stands in the file.

    >>> [found] = spooled_in(encode_spooled(Spooled("reward", 1, b"{}")))
    >>> found.kind, found.at_ms, found.body
    ('reward', 1, b'{}')
    """
    body = _encoder.encode(record)
    return _HEAD.pack(len(body), zlib.crc32(body)) + body


def spooled_in(content: bytes) -> Iterator[Spooled | bytes]:
    """The whole records of a file, in order; one of another version, that this one cannot read, as its bytes.

    >>> list(spooled_in(encode_spooled(Spooled("reward", 1, b"{}"))[:-1]))
    []
    """
    at = 0
    while at + _HEAD.size <= len(content):
        length, checksum = _HEAD.unpack_from(content, at)
        body = content[at + _HEAD.size : at + _HEAD.size + length]
        if length > MOST_BYTES or len(body) < length or zlib.crc32(body) != checksum:
            return
        at += _HEAD.size + length
        yield _read(body)


def _read(body: bytes) -> Spooled | bytes:
    try:
        return _decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return body
