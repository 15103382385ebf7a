"""What learns: the trainer in this process, or one in a process of its own. Others know only this."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from policy_learner.learning.vw_format import Example, Foreseen
from sidecar.contracts.model_section import ModelConfig

Float32s = npt.NDArray[np.float32]


class AnyTrainer(Protocol):
    """A model in training. ``trainer.Trainer`` says what each of these does."""

    def learn(self, examples: Sequence[Example]) -> Foreseen:
        """Learn from examples, in order; what was expected of each just before."""

    def check(self, example: Example) -> None:
        """Refuse what ``learn`` would refuse, alone."""

    def predict_each(self, examples: Sequence[Example]) -> list[Float32s]:
        """The trainer's own scores of the arms of each example, reward-signed."""

    def weights_values(self) -> Float32s:
        """The weights, shape ``(2 ** bits,)``, reward-signed. Not to be written to."""

    def serialize(self) -> bytes:
        """All of the trainer's state."""


@runtime_checkable
class LearnsAhead(Protocol):
    """A trainer that can begin before it is asked, while its caller does something else."""

    def ahead(self, examples: Sequence[Example]) -> None:
        """Begin with what ``learn`` will be called with next, as the same object.

        After several of these ``learn`` is called for each, in their order.

        Raises:
            BadEvent: one would poison the model; none of them was begun.
        """

    def close(self) -> None:
        """It is not wanted any more, nor what it has begun."""


class Trainers(Protocol):
    """Makes trainers: a class of them does."""

    def __call__(self, model: ModelConfig) -> AnyTrainer:
        """An untrained one."""

    def restore(self, model: ModelConfig, state: bytes) -> AnyTrainer:
        """The one that ``serialize`` was called on.

        Raises:
            BadCheckpoint: ``state`` is cut or altered, or of a model with another configuration.
        """
