"""Asking the model container what a score is made of. MessagePack over HTTP, like scoring, but seldom."""

from __future__ import annotations

from typing import TypeVar

import msgspec
from msgspec import Struct

from sidecar.contracts.application import Arm, Features
from sidecar.contracts.errors import BadEvent

EXPLAIN_PATH = "/v1/explain"


class ExplainRequest(Struct, frozen=True, array_like=True):
    """Arms of one decision, as they were scored."""

    context: Features
    arms: tuple[Arm, ...]
    """With all features that they were scored with."""
    version: int
    """Of the weights that scored; 0: none had been published."""
    most: int = 50
    """Parts that are told of each arm, the largest first."""


class Part(Struct, frozen=True, array_like=True):
    """What one feature, or a product of two, adds to a score: ``weight * value``."""

    features: tuple[str, ...]
    """``context.device=ios``, ``arm.price``: a category with its value, a magnitude without; none: what every
    arm in every context has, the model's constant."""
    value: float
    weight: float
    contribution: float


class Explained(Struct, frozen=True, array_like=True):
    """One arm's score, taken apart: ``parts`` and ``others`` add up to it, but for rounding."""

    score: float
    parts: tuple[Part, ...]
    others: float = 0.0
    """What those parts add up to that are not told."""
    n_others: int = 0


class ExplainResponse(Struct, frozen=True, array_like=True):
    """The answer."""

    version: int
    """Of the weights that explain: the one asked for, or, if that is not kept any more, the newest."""
    arms: tuple[Explained, ...]


_M = TypeVar("_M", ExplainRequest, ExplainResponse)
_encoder = msgspec.msgpack.Encoder()
_request = msgspec.msgpack.Decoder(ExplainRequest)
_response = msgspec.msgpack.Decoder(ExplainResponse)


def encode(message: ExplainRequest | ExplainResponse) -> bytes:
    """A message as it travels."""
    return _encoder.encode(message)


def decode_request(data: bytes) -> ExplainRequest:
    """The question.

    Raises:
        BadEvent: the bytes are none.
    """
    return _checked(_request, data)


def decode_response(data: bytes) -> ExplainResponse:
    """The answer.

    Raises:
        BadEvent: the bytes are none.
    """
    return _checked(_response, data)


def _checked(decoder: msgspec.msgpack.Decoder[_M], data: bytes) -> _M:
    try:
        return decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadEvent(f"{len(data)} bytes where an explanation was expected: {error}") from error
