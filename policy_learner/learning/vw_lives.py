"""A trainer in a process of its own that may die: another one is started and brought to where it was.

What the process holds can always be had again: from its last state that was sent over, and what was learnt
since, which is kept here.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from policy_learner.errors import BadCheckpoint, TrainerLost
from policy_learner.learning.attempts import MOST_FAILURES
from policy_learner.learning.known_arms import KnownArms
from policy_learner.learning.pieces import pieces_of
from policy_learner.learning.trainers import Float32s
from policy_learner.learning.vw_child import COMMAND, ChildDied, SharedWeights, VwChild
from policy_learner.learning.vw_format import ExampleText
from policy_learner.learning.vw_wire import (
    Answer,
    Broken,
    Learn,
    Learnt,
    Request,
    Start,
    Unusable,
    Weights,
    decode_answer,
    frame,
    line_of,
)
from sidecar.contracts.model_section import ModelConfig

PATIENCE_S = 30.0
_STATE_EVERY = 8192
_STATE_EVERY_ARMS = 524_288
"""Learnt examples, and arms of them, after which the state is sent over: a restart learns them again."""

log = logging.getLogger("sidearm.learner")


class Spare(NamedTuple):
    """A child that was started and not told anything."""

    memory: SharedWeights
    child: VwChild

    @classmethod
    def begun(cls, bits: int, command: Sequence[str] = COMMAND) -> Spare:
        """It starts while others get ready."""
        memory = SharedWeights(bits)
        return cls(memory, VwChild(memory, command))


class VwLives:
    """The child, one after the other.

    Args:
        model: what is trained, and how.
        state: of an earlier one; None: an untrained one.
        patience_s: how long a child may take for an answer. For its start it has half a minute at least.
        command: what starts one.
        spare: the first one, if it was started before, for a model of as many bits.
        forgotten: a method that is told when a child has gone, with whatever it was sent.
    """

    def __init__(
        self,
        model: ModelConfig,
        state: bytes | None,
        patience_s: float,
        command: Sequence[str],
        spare: Spare | None,
        forgotten: Callable[[], None],
    ) -> None:
        self._model, self._state = model, state
        self._since: list[ExampleText] = []
        """Learnt since ``_state``."""
        self._since_arms = self._since_sent = 0
        self._patience_s, self._command, self._spare = patience_s, command, spare
        self._memory = spare.memory if spare else SharedWeights(model.bits)
        self._forgotten = weakref.WeakMethod(forgotten)  # a cycle would keep the last child alive
        self.arms = KnownArms()
        """That it knows."""
        self.starts = 0
        """How many there were."""
        self.child: VwChild | None = None
        """Alive or dead; None: it is known to have gone."""

    def living(self) -> VwChild:
        """The child; another, where that was, if it is gone.

        Raises:
            BadCheckpoint: the state is none, or not of this model.
            TrainerLost: every one dies at once.
        """
        if self.child is not None:
            try:
                self.child.look()
                return self.child
            except ChildDied as death:
                log.warning("the process that runs VW %s: starting another", death)
                self.end()
        for _ in range(MOST_FAILURES):
            try:
                self.child = self._started()
                return self.child
            except ChildDied as death:
                said = str(death)
                log.error("the process that runs VW could not be started: it %s", said)
        raise TrainerLost(f"the process that runs VW cannot be started: it {said}")

    def end(self) -> None:
        """It is not wanted any more. Whoever asks next starts another."""
        if self.child is not None:
            self.child.close()
            self.child = None
        self._forget()

    def ask(self, request: Callable[[], Request]) -> Answer:
        """What the child says of something that is no example's fault.

        Raises:
            TrainerLost: it dies every time.
        """
        for _ in range(MOST_FAILURES):
            child = self.living()
            try:
                child.send(frame(request()))
                return self.received(child)
            except ChildDied as death:
                log.warning("the process that runs VW %s: starting another", death)
                self.end()
        raise TrainerLost(f"the process that runs VW ended {MOST_FAILURES} times when asked for its state")

    def send(self, child: VwChild, texts: Sequence[ExampleText]) -> None:
        """Have it learn; now and then it is to send its state along."""
        self._since_sent += len(texts)
        self._since_arms += sum([len(text.arms) for text in texts])
        wanted = self._since_sent >= _STATE_EVERY or self._since_arms >= _STATE_EVERY_ARMS
        if wanted:
            self._since_sent = self._since_arms = 0
        child.send(frame(self._message(texts, wanted)))

    def received(self, child: VwChild, patience_s: float | None = None) -> Answer:
        """The child's next answer.

        Raises:
            ChildDied: it ended, or is about to.
        """
        answer = decode_answer(child.receive(patience_s or self._patience_s))
        if isinstance(answer, Broken):
            child.close()
            raise ChildDied(f"raised {answer.why}")
        return answer

    def learnt(self, texts: Sequence[ExampleText], state: bytes | None = None) -> None:
        """It has learnt these; ``state``: all of it, after them."""
        if state is None:
            self._since += texts
        else:
            self.stands_at(state)

    def stands_at(self, state: bytes) -> None:
        """Nothing was learnt since."""
        self._state, self._since = state, []

    def weights(self) -> Float32s:
        """Its weights, as they are."""
        self.ask(Weights)
        return self._memory.copy()

    def _forget(self) -> None:
        if (told := self._forgotten()) is not None:
            told()

    def _message(self, texts: Sequence[ExampleText], serialize: bool) -> Learn:
        self.arms.make_room()
        lines = [line_of(text, self.arms.number(text.arms)) for text in texts]
        return Learn(self.arms.news(), lines, serialize)

    def _started(self) -> VwChild:
        """A child that is where the last one was.

        Raises:
            ChildDied: it is not.
        """
        child = self._spare.child if self._spare else VwChild(self._memory, self._command)
        self._spare = None
        self.starts += 1
        self.arms.forget()
        self._forget()
        patience_s = max(self._patience_s, PATIENCE_S)
        child.send(frame(Start(self._model, self._state)))
        answer = self.received(child, patience_s)
        if isinstance(answer, Unusable):
            child.close()
            raise BadCheckpoint(answer.why)
        for piece in pieces_of(self._since, None):
            child.send(frame(self._message(piece.texts, serialize=False)))
            answer = self.received(child, patience_s)
            assert isinstance(answer, Learnt), answer
        return child


def scores_in(packed: Sequence[bytes]) -> list[Float32s]:
    """Scores of arms as they came over."""
    return [np.frombuffer(scores, np.float32) for scores in packed]
