"""What is on its way to the process that runs VW: calls of ``learn``, cut into pieces of some hundred."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from policy_learner.learning.attempts import Attempts, name_of
from policy_learner.learning.vw_format import Example, ExampleText, Foreseen

_EXAMPLES_A_PIECE = 256
_ARMS_A_PIECE = 16_384


@dataclass(eq=False)
class Piece:
    """Examples that go over together."""

    texts: list[ExampleText]
    careful: bool = False
    """One by one: one of them may be deadly."""
    sent: bool = False

    @cached_property
    def names(self) -> list[str]:
        """Of what is tried."""
        return [name_of(text) for text in self.texts]


@dataclass(eq=False)
class Call:
    """One call of ``learn``, on its way."""

    examples: Sequence[Example]
    pieces: deque[Piece]
    foreseen: Foreseen = field(default_factory=lambda: Foreseen([], []))
    """Of those that are learnt."""
    alone: bool = False
    """What comes after it is not sent before it is done: another one may have to go in between."""


def pieces_of(texts: Sequence[ExampleText], attempts: Attempts | None) -> list[Piece]:
    """Some hundred examples each; those of which one is suspect need care."""
    pieces: list[Piece] = []
    arms = 0
    for text in texts:
        full = arms + len(text.arms) > _ARMS_A_PIECE
        if not pieces or full or len(pieces[-1].texts) >= _EXAMPLES_A_PIECE:
            pieces.append(Piece([]))
            arms = 0
        pieces[-1].texts.append(text)
        arms += len(text.arms)
    if attempts is not None and attempts.any:
        for piece in pieces:
            piece.careful = any(attempts.of(name) for name in piece.names)
    return pieces
