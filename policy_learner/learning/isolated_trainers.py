"""What makes trainers in processes of their own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from policy_learner.learning.attempts import Attempts
from policy_learner.learning.isolated_trainer import IsolatedTrainer
from policy_learner.learning.vw_child import COMMAND
from policy_learner.learning.vw_lives import PATIENCE_S, Spare
from sidecar.contracts.model_section import ModelConfig


class IsolatedTrainers:
    """Makes trainers in processes of their own.

    Args:
        attempts: file of what is tried; None: none is kept.
        patience_s: how long one may take for an answer.
        command: what starts a child.
        bits: of the model that will be wanted first: its child starts at once, while others get ready.
    """

    def __init__(
        self,
        attempts: Path | None,
        patience_s: float = PATIENCE_S,
        command: Sequence[str] = COMMAND,
        bits: int | None = None,
    ) -> None:
        self._attempts, self._patience_s, self._command = Attempts(attempts), patience_s, command
        self._bits, self._spare = bits, None if bits is None else Spare.begun(bits, command)

    def __call__(self, model: ModelConfig) -> IsolatedTrainer:
        """An untrained one."""
        return self._made(model, None)

    def restore(self, model: ModelConfig, state: bytes) -> IsolatedTrainer:
        """The one that ``serialize`` was called on.

        Raises:
            BadCheckpoint: ``state`` is cut or altered, or of a model with another configuration.
        """
        return self._made(model, state)

    def _made(self, model: ModelConfig, state: bytes | None) -> IsolatedTrainer:
        spare, self._spare = (self._spare if model.bits == self._bits else None), None
        return IsolatedTrainer(model, state, self._attempts, self._patience_s, self._command, spare)
