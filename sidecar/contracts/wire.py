"""The hop to the sidecar: the in-schema and the out-schema. N rows in, N rows out.

Bodies are MessagePack over HTTP on a Unix socket (``POST /v1/score``). Arms travel once per catalogue: a
request names the table by ``arms_key``; a sidecar that does not hold it answers 409, and the caller sends the
request again with the table inside.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec
from msgspec import Struct

from sidecar.contracts.application import Arm, Exploration, Features
from sidecar.contracts.arm_features import Columns
from sidecar.contracts.errors import BadEvent

SCORE_PATH = "/v1/score"
SCORE_HEAD = (
    b"POST %b HTTP/1.1\r\nhost: sidecar\r\ncontent-type: application/msgpack\r\ncontent-length: "
    % SCORE_PATH.encode()
)
"""How the service's requests begin; then the body's length in bytes, ``END_OF_HEAD`` and the body."""
SCORED_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/msgpack\r\ncontent-length: "
"""How answers with scores begin that the sidecar sends on its short way; then likewise."""
END_OF_HEAD = b"\r\n\r\n"
_MOST_DIGITS = 12
"""Of a body's length."""


class ScoreRow(Struct, frozen=True, array_like=True):
    """One decision to be scored."""

    context: Features
    arms: tuple[int, ...] | None = None
    """Places of the eligible arms in the catalogue's table; None means all of it."""
    given_arms: tuple[Arm, ...] = ()
    """Arms with features of their own: when there are any they are the eligible set, in this order."""
    exploration: int = 0
    """Place in the request's ``explorations``."""
    arm_features: Columns = {}
    """Features of single arms, over those that the arms have: a column for each, in the order of the arms."""
    trace: str = ""
    """Names the span that asks (W3C ``traceparent``); empty: nobody looks."""


class ScoreRequest(Struct, frozen=True, array_like=True):
    """The in-schema."""

    rows: tuple[ScoreRow, ...]
    explorations: tuple[Exploration, ...]
    arms_key: str
    """Version of the catalogue that ``rows[].arms`` points into."""
    arms: tuple[Arm, ...] = ()
    """The table itself; empty when the sidecar should hold it already."""
    calibrated: bool = False
    """Whether each row is to have its columns ``expected`` and ``ranks``."""
    versions: tuple[int, ...] = ()
    """Deployed versions of the weights that score every row too, beside the one that is served."""


class ScoredRow(Struct, frozen=True, array_like=True):
    """Little-endian, one value per eligible arm: first what decides, then what only the log needs."""

    scores: bytes
    """float32."""
    pmf: bytes
    """float64."""
    expected: bytes = b""
    """float32: the reward to be expected of each arm. Empty when it was not asked for, or before the model's
    first examples."""
    ranks: bytes = b""
    """float32, 0 to 1: the share of arms shown lately that were scored no higher. Empty likewise."""


class BaseScores(Struct, frozen=True, array_like=True):
    """What the base model said: for each row a column of arm features, with which its arms were scored."""

    model: str
    """The first 16 digits of its record's sha256."""
    feature: str
    """Name of the column."""
    columns: tuple[bytes, ...]


class VersionScores(Struct, frozen=True, array_like=True):
    """What one deployed version says of all rows of a request, one after the other."""

    version: int
    scores: bytes
    """float32 little-endian: all eligible arms of the first row, then of the second, …"""
    expected: bytes = b""
    """float32 likewise; as in :class:`ScoredRow`."""
    ranks: bytes = b""
    """float32 likewise."""


class ScoreResponse(Struct, frozen=True, array_like=True):
    """The out-schema. What decides: the scores in ``rows`` and ``models``; the rest only the log needs."""

    rows: tuple[ScoredRow, ...]
    model_version: int
    cold: bool
    """No weights have been published yet: scores are zero and the pmf is uniform."""
    trained_until_ms: int = 0
    base: BaseScores | None = None
    """None: there is no base model."""
    models: tuple[VersionScores, ...] = ()
    """Of those ``versions`` that this container holds, in their order."""


_M = TypeVar("_M", ScoreRequest, ScoreResponse)
_encoder = msgspec.msgpack.Encoder()
_request = msgspec.msgpack.Decoder(ScoreRequest)
_response = msgspec.msgpack.Decoder(ScoreResponse)


def encode(message: ScoreRequest | ScoreResponse) -> bytes:
    """A message as it travels."""
    return _encoder.encode(message)


def decode_request(data: bytes) -> ScoreRequest:
    """The in-schema's check.

    Raises:
        BadEvent: the bytes are no score request.
    """
    return _checked(_request, data)


def decode_response(data: bytes) -> ScoreResponse:
    """The out-schema's check.

    Raises:
        BadEvent: the bytes are no score response.
    """
    return _checked(_response, data)


def body_after(head: bytes, data: bytes) -> bytes | None:
    r"""The body, if these bytes are one message that begins with ``head``, and whole.

    >>> [body_after(SCORED_HEAD, SCORED_HEAD + b"3\r\n\r\n" + body) for body in (b"abc", b"ab")]
    [b'abc', None]
    """
    if not data.startswith(head):
        return None
    length, _, body = data[len(head) :].partition(END_OF_HEAD)
    fits = len(length) <= _MOST_DIGITS and length.isdigit() and int(length) == len(body)
    return body if fits else None


def _checked(decoder: msgspec.msgpack.Decoder[_M], data: bytes) -> _M:
    try:
        return decoder.decode(data)
    except msgspec.MsgspecError as error:
        raise BadEvent(f"{len(data)} bytes on the score socket: {error}") from error
