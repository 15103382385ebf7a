"""What the learner and the process that runs VW say to each other: msgpack in frames, over a pair of sockets.

Every request but ``Resume`` has one answer, in order; several requests may be under way. Arms go over once
and have numbers after that: both sides keep the same lists until one request says ``anew``.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

import msgspec
from msgspec import Struct

from policy_learner.learning.vw_format import ExampleText
from sidecar.contracts.application import Arm, Features
from sidecar.contracts.model_section import ModelConfig

LENGTH = struct.Struct("<I")
"""Goes before each message: its bytes."""

Plain = str | int | float | list[float] | None
Line = list[Plain]
"""The fields of an ``ExampleText``, with the number of its arms in their place."""
_ARMS_AT = ExampleText._fields.index("arms")


class NewArms(Struct, array_like=True):
    """Arms, and sets of them, that the other side does not know yet; their numbers follow the known ones."""

    anew: bool = False
    """Forget all that were known."""
    arms: list[tuple[str, Features]] = []
    sets: list[list[int]] = []
    """Each the numbers of its arms, in order."""


class Start(Struct, array_like=True, tag="start"):
    """Become the trainer of a model. The answer is ``Done`` or ``Unusable``."""

    model: ModelConfig
    state: bytes | None


class Learn(Struct, array_like=True, tag="learn"):
    """Learn from examples. The answer is ``Learnt``, ``Poisoned``, or ``Skipped``."""

    new: NewArms
    lines: list[Line]
    serialize: bool
    """Send the state along."""


class Resume(Struct, array_like=True, tag="resume"):
    """Learn again: after a ``Poisoned`` everything is skipped until this comes."""


class Predict(Struct, array_like=True, tag="predict"):
    """Score arms in contexts. The answer is ``Predicted``."""

    new: NewArms
    asked: list[tuple[str, int]]
    """Line of the context, number of the set of arms."""


class Weights(Struct, array_like=True, tag="weights"):
    """Write the weights to the shared memory. The answer is ``Done``."""


class Serialize(Struct, array_like=True, tag="serialize"):
    """Send all of the state. The answer is ``State``."""


class Done(Struct, array_like=True, tag="done"):
    """It is done."""


class Unusable(Struct, array_like=True, tag="unusable"):
    """The state is none, or not of this model."""

    why: str


class Learnt(Struct, array_like=True, tag="learnt"):
    """What was foreseen of each example."""

    shown: list[float]
    costs: list[bytes]
    state: bytes | None


class Poisoned(Struct, array_like=True, tag="poisoned"):
    """One left a state that is not finite; those before it are learnt, it and those after it are not."""

    place: int
    shown: list[float]
    costs: list[bytes]


class Skipped(Struct, array_like=True, tag="skipped"):
    """Nothing was done."""


class Predicted(Struct, array_like=True, tag="predicted"):
    """float32 scores of the arms of each, reward-signed."""

    scores: list[bytes]


class State(Struct, array_like=True, tag="state"):
    """``Trainer.serialize``."""

    state: bytes


class Broken(Struct, array_like=True, tag="broken"):
    """VW, or what is around it, raised what it never should; the process ends."""

    why: str


Request = Start | Learn | Resume | Predict | Weights | Serialize
Answer = Done | Unusable | Learnt | Poisoned | Skipped | Predicted | State | Broken

_encode = msgspec.msgpack.Encoder().encode
decode_request: Callable[[bytes], Request] = msgspec.msgpack.Decoder(Request).decode
decode_answer: Callable[[bytes], Answer] = msgspec.msgpack.Decoder(Answer).decode


def frame(message: Request | Answer) -> bytes:
    """A message as it goes over.

    >>> frame(Resume()).hex()
    '0800000091a6726573756d65'
    """
    body = _encode(message)
    return LENGTH.pack(len(body)) + body


def line_of(text: ExampleText, arms: int) -> Line:
    """An example as it goes over, with the number of its arms."""
    fields: list[object] = list(text)
    fields[_ARMS_AT] = arms
    return fields  # type: ignore[return-value]


def text_of_line(line: Line, sets: Sequence[tuple[Arm, ...]]) -> ExampleText:
    """The example that :func:`line_of` was called with."""
    number = line[_ARMS_AT]
    assert isinstance(number, int)
    return ExampleText._make([*line[:_ARMS_AT], sets[number], *line[_ARMS_AT + 1 :]])
