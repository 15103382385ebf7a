"""Inputs as models saw them, archived by a decoy: files of frames, each its length and a MessagePack body.

A file that a process died over ends in half a frame, which is left out when it is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec
from msgspec import Struct

from sidecar.contracts.errors import BadEvent
from sidecar.contracts.wire import ScoreRow

SUFFIX = ".inputs"
_LENGTH_BYTES = 4


class ArchivedInput(Struct, frozen=True, array_like=True):
    """What a model was given for one decision. Evolution: appended to, with defaults."""

    decision_id: str
    at_ms: int
    """The service's clock."""
    catalogue: str
    """Version that ``row.arms`` points into."""
    row: ScoreRow


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(ArchivedInput)


def encode_inputs(inputs: Iterable[ArchivedInput]) -> bytes:
    """As they are appended to a file."""
    bodies = [_encoder.encode(one) for one in inputs]
    return b"".join([part for body in bodies for part in (len(body).to_bytes(_LENGTH_BYTES, "big"), body)])


def decode_inputs(data: bytes) -> Iterator[ArchivedInput]:
    """Those that are whole, in their order.

    Raises:
        BadEvent: a frame holds something else.
    """
    place = 0
    while place + _LENGTH_BYTES <= len(data):
        start = place + _LENGTH_BYTES
        place = start + int.from_bytes(data[place:start], "big")
        if place > len(data):
            return
        try:
            yield _decoder.decode(data[start:place])
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise BadEvent(f"{place - start} bytes at {start} are no archived input: {error}") from error
