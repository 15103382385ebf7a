"""A batch on its way through a trainer: what of it is trained on, what is only watched, what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from policy_learner.learning.teaching import Teaching
from policy_learner.learning.trainer import Example, Foreseen
from sidecar.contracts.scripts.publish import Batch


class Refused(NamedTuple):
    """An example that was not trained on."""

    place: int
    """In the batch."""
    reason: str


class Trained(NamedTuple):
    """What came of a batch."""

    examples: int
    """Trained on."""
    refused: list[Refused]
    """In the order of the batch."""
    watched: int = 0
    """Trained on before, and now seen with their rewards by the metrics and the gate: also an effect."""

    @property
    def effects(self) -> int:
        """What a rebuild must do again."""
        return self.examples + self.watched


class Asked(NamedTuple):
    """A batch, sorted by what is done with it."""

    examples: list[Example]
    """To be trained on, in order."""
    places: list[int]
    """Of each, in the batch."""
    watched: list[Example]
    refused: list[Refused]
    """Could not even be made an example."""


@dataclass
class Begun:
    """A batch on its way."""

    batch: Batch
    lessons: Sequence[Teaching]
    asked: Asked
    foreseen: Foreseen = field(default_factory=lambda: Foreseen([], []))
    """Of those that were learnt."""
    spoilt: dict[int, str] = field(default_factory=dict)
    """Place among the examples, and why that one was not learnt."""
    at: int | None = None
    """The next one to be learnt, where they are learnt one by one."""
    _alone: list[Example] = field(default_factory=list)

    def alone(self, place: int) -> list[Example]:
        """One example as a call of its own: the same object when it is asked for again."""
        if not (self._alone and self._alone[0] is self.asked.examples[place]):
            self._alone = [self.asked.examples[place]]
        return self._alone
