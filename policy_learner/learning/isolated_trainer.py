"""A trainer in a process of its own: VW may abort, hang or be killed; the learner goes on to the same bits.

Here examples are checked and written as text; over there VW learns from them, meanwhile here goes on. What
the child holds can always be had again: from its last state that was sent over, and what was learnt since.

A child that dies is started again and brought to where it was. Whatever it was busy with is then learnt one
by one, so that the next death names its example; with the third one it is given up (:class:`Attempts`).
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from policy_learner.errors import BadCheckpoint, ExampleKills, TrainerLost, TrainerPoisoned
from policy_learner.learning.attempts import MOST_FAILURES, Attempts, name_of
from policy_learner.learning.known_arms import KnownArms
from policy_learner.learning.trainers import Float32s
from policy_learner.learning.vw_child import COMMAND, ChildDied, SharedWeights, VwChild
from policy_learner.learning.vw_format import (
    Example,
    ExampleText,
    Foreseen,
    check_correction,
    context_line,
    text_of,
)
from policy_learner.learning.vw_wire import (
    Answer,
    Broken,
    Learn,
    Learnt,
    Poisoned,
    Predict,
    Predicted,
    Request,
    Resume,
    Serialize,
    Start,
    State,
    Unusable,
    Weights,
    decode_answer,
    frame,
    line_of,
)
from sidecar.contracts.model_section import ModelConfig

PATIENCE_S = 30.0
_EXAMPLES_A_PIECE = 256
_ARMS_A_PIECE = 16_384
_AHEAD = 4
"""Pieces that the child may have before it: enough never to wait, few to write down."""
_STATE_EVERY = 8192
_STATE_EVERY_ARMS = 524_288
"""Learnt examples, and arms of them, after which the state is sent over: a restart learns them again."""

log = logging.getLogger("sidearm.learner")


@dataclass(eq=False)
class _Piece:
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
class _Call:
    """One call of ``learn``, on its way."""

    examples: Sequence[Example]
    pieces: deque[_Piece]
    foreseen: Foreseen = field(default_factory=lambda: Foreseen([], []))
    """Of those that are learnt."""
    alone: bool = False
    """What comes after it is not sent before it is done: another one may have to go in between."""


class Spare(NamedTuple):
    """A child that was started and not told anything."""

    memory: SharedWeights
    child: VwChild


class IsolatedTrainer:
    """Does what ``trainer.Trainer`` does, to the same bits, but for dying of it.

    Args:
        model: what is trained, and how.
        state: of :meth:`serialize`; None: an untrained one.
        attempts: what was tried before, by whom ever.
        patience_s: how long the child may take for an answer on some hundred examples. For its start it has
            half a minute at least.
        command: what starts the child.
        spare: the first one, if it was started before, for a model of as many bits.

    Raises:
        BadCheckpoint: ``state`` is cut or altered, or of a model with another configuration.
        TrainerLost: the child cannot be started.
    """

    def __init__(
        self,
        model: ModelConfig,
        state: bytes | None = None,
        attempts: Attempts | None = None,
        patience_s: float = PATIENCE_S,
        command: Sequence[str] = COMMAND,
        spare: Spare | None = None,
    ) -> None:
        self._model, self._state = model, state
        self._since: list[ExampleText] = []
        """Learnt since ``_state``."""
        self._since_arms = self._since_sent = 0
        self._attempts = attempts or Attempts(None)
        self._patience_s, self._command = patience_s, command
        self._spare = spare
        self._memory = spare.memory if spare else SharedWeights(model.bits)
        self._values: Float32s | None = None
        self._calls: deque[_Call] = deque()
        self._arms = KnownArms()
        self._starts = 0
        self._child: VwChild | None = None
        self._living()

    @property
    def pid(self) -> int | None:
        """Of the child, while there is one."""
        return self._child.pid if self._child else None

    @property
    def restarts(self) -> int:
        """How often the child had to be started again."""
        return self._starts - 1

    def ahead(self, examples: Sequence[Example]) -> None:
        """Begin with what :meth:`learn` will be called with next, as the same object.

        Raises:
            BadEvent: one would poison the model; none of them was begun.
        """
        self._calls.append(self._call(examples))
        if self._child is not None:
            self._send_ahead(self._child)

    def learn(self, examples: Sequence[Example]) -> Foreseen:
        """Learn from examples, in order; what was expected of each one's arms before learning from it.

        Raises:
            BadEvent: an example that would poison the model; nothing of this call was learned.
            TrainerPoisoned: an example did poison it. The trainer stands as it did just before that example.
            ExampleKills: the same, for one that has killed VW too often.
            TrainerLost: there is no child to be had. Call again, with the same object.
        """
        call = self._begun(examples)
        try:
            while call.pieces:
                self._finish(call, call.pieces[0])
                call.pieces.popleft()
        except TrainerPoisoned:
            self._calls.popleft()
            raise
        self._calls.popleft()
        return call.foreseen

    def check(self, example: Example) -> None:
        """Refuse what :meth:`learn` would refuse, alone.

        Raises:
            BadEvent: the example would poison the model.
        """
        self._text(example)

    def predict_each(self, examples: Sequence[Example]) -> list[Float32s]:
        """VW's own scores of the arms of each example, reward-signed."""
        contexts = [context_line(example.event.context) for example in examples]

        def asked() -> Request:
            self._arms.make_room()
            numbers = [self._arms.number(example.arms) for example in examples]
            return Predict(self._arms.news(), list(zip(contexts, numbers, strict=True)))

        answer = self._ask(asked)
        assert isinstance(answer, Predicted)
        return [np.frombuffer(scores, np.float32) for scores in answer.scores]

    def predict(self, example: Example) -> Float32s:
        """The same for one."""
        return self.predict_each([example])[0]

    def weights_values(self) -> Float32s:
        """The weights, shape ``(2 ** bits,)``, reward-signed: score = sum of w·x. Not to be written to."""
        if self._values is None:
            self._ask(Weights)
            self._values = self._memory.copy()
            self._values.setflags(write=False)
        return self._values

    def serialize(self) -> bytes:
        """All of the trainer's state: any trainer restored from it goes on as this one would."""
        answer = self._ask(Serialize)
        assert isinstance(answer, State)
        self._state, self._since = answer.state, []
        return answer.state

    def close(self) -> None:
        """It is not wanted any more, nor what it has begun. Whatever is called next starts another child."""
        self._end()
        self._calls.clear()

    def _end(self) -> None:
        if self._child is not None:
            self._child.close()
            self._child = None
        self._nothing_sent()

    def _text(self, example: Example) -> ExampleText:
        check_correction(example, self._model.cb_type)
        self._arms.check(example.arms)
        return text_of(example)

    def _call(self, examples: Sequence[Example]) -> _Call:
        return _Call(examples, deque(_pieces([self._text(example) for example in examples], self._attempts)))

    def _begun(self, examples: Sequence[Example]) -> _Call:
        """What ``ahead``, or a call that could not be finished, was about; or a call that goes first."""
        if self._calls and self._calls[0].examples is examples:
            return self._calls[0]
        if self._sent():  # begun, and never asked for: the caller went on with something else
            log.warning("what VW has begun is not what comes next: starting another process")
            self._end()
            self._calls.clear()
        call = self._call(examples)
        call.alone = True
        self._calls.appendleft(call)
        return call

    def _finish(self, call: _Call, piece: _Piece) -> None:
        if not piece.careful:
            try:
                self._learnt(call, piece)
            except ChildDied as death:
                self._died(death, piece.texts)
                piece.careful = True
        while piece.careful and piece.texts:
            self._try_first(call, piece)

    def _learnt(self, call: _Call, piece: _Piece) -> None:
        """Wait for what the child says of a piece.

        Raises:
            TrainerPoisoned: one poisoned it.
            ChildDied: it died of it, or otherwise.
        """
        # One that died of what it was sent is not replaced before it is known of which piece.
        child = self._child if self._child is not None and piece.sent else self._living()
        self._send_ahead(child)
        self._take(child, call, piece)

    def _take(self, child: VwChild, call: _Call, piece: _Piece) -> None:
        """What the child says of a piece that was sent; raises as :meth:`_learnt`."""
        answer = _received(child, self._patience_s)
        if isinstance(answer, Poisoned):
            self._poisoned(child, call, piece, answer)
        assert isinstance(answer, Learnt), answer
        self._attempts.succeeded(piece.names)
        call.foreseen.extend(Foreseen(answer.shown, answer.costs))
        self._since += piece.texts
        if answer.state is not None:
            self._state, self._since = answer.state, []

    def _try_first(self, call: _Call, piece: _Piece) -> None:
        """Learn the first example of a piece alone, if it has not killed too often.

        Raises:
            TrainerPoisoned, ExampleKills: it is not learnt.
        """
        text = piece.texts[0]
        place = len(call.foreseen.shown)
        failures = self._attempts.of(name_of(text))
        if failures is not None and failures.times >= MOST_FAILURES:
            raise ExampleKills(text.decision_id, place, call.foreseen, failures.reason)
        alone = _Piece([text])
        try:
            child = self._living()
            self._send(child, alone)
            self._take(child, call, alone)
        except ChildDied as death:
            self._died(death, [text])
        else:
            del piece.texts[0]

    def _poisoned(self, child: VwChild, call: _Call, piece: _Piece, answer: Poisoned) -> None:
        """Those before it are learnt; what the child had before it was skipped, and will be sent again.

        Raises:
            TrainerPoisoned: always.
        """
        place = len(call.foreseen.shown) + answer.place
        call.foreseen.extend(Foreseen(answer.shown, answer.costs))
        self._since += piece.texts[: answer.place]
        self._attempts.withdrawn(piece.names)
        piece.sent = False
        try:
            for _ in self._sent():
                _received(child, self._patience_s)
            child.send(frame(Resume()))
        except ChildDied as death:
            log.warning("the process that runs VW %s: starting another", death)
            self._end()
        self._nothing_sent()
        raise TrainerPoisoned(piece.texts[answer.place].decision_id, place, call.foreseen)

    def _send_ahead(self, child: VwChild) -> None:
        """As many pieces as the child may have, in order, none behind one that needs care."""
        under_way = 0
        for call in self._calls:
            for piece in call.pieces:
                if piece.careful or under_way >= _AHEAD:
                    return
                if not piece.sent:
                    self._send(child, piece)
                under_way += 1
            if call.alone:
                return

    def _send(self, child: VwChild, piece: _Piece) -> None:
        self._attempts.begin(piece.names)
        self._since_sent += len(piece.texts)
        self._since_arms += sum([len(text.arms) for text in piece.texts])
        wanted = self._since_sent >= _STATE_EVERY or self._since_arms >= _STATE_EVERY_ARMS
        if wanted:
            self._since_sent = self._since_arms = 0
        child.send(frame(self._message(piece.texts, wanted)))
        piece.sent = True
        self._values = None

    def _message(self, texts: Sequence[ExampleText], serialize: bool) -> Learn:
        self._arms.make_room()
        lines = [line_of(text, self._arms.number(text.arms)) for text in texts]
        return Learn(self._arms.news(), lines, serialize)

    def _ask(self, request: Callable[[], Request]) -> Answer:
        """What the child says of something that is no example's fault.

        Raises:
            TrainerLost: it dies every time.
        """
        assert not self._sent(), "asked while it learns"
        for _ in range(MOST_FAILURES):
            child = self._living()
            try:
                child.send(frame(request()))
                return _received(child, self._patience_s)
            except ChildDied as death:
                log.warning("the process that runs VW %s: starting another", death)
                self._end()
        raise TrainerLost(f"the process that runs VW ended {MOST_FAILURES} times when asked for its state")

    def _died(self, death: ChildDied, suspects: Sequence[ExampleText]) -> None:
        log.error("the process that runs VW %s: starting another", death)
        self._attempts.failed([name_of(text) for text in suspects], str(death))
        self._end()

    def _living(self) -> VwChild:
        """The child; another, where that was, if it is gone.

        Raises:
            BadCheckpoint: the state is none, or not of this model.
            TrainerLost: every one dies at once.
        """
        if self._child is not None:
            try:
                self._child.look()
                return self._child
            except ChildDied as death:
                log.warning("the process that runs VW %s: starting another", death)
                self._end()
        for _ in range(MOST_FAILURES):
            try:
                self._child = self._started()
                return self._child
            except ChildDied as death:
                said = str(death)
                log.error("the process that runs VW could not be started: it %s", said)
        raise TrainerLost(f"the process that runs VW cannot be started: it {said}")

    def _started(self) -> VwChild:
        """A child that is where the last one was.

        Raises:
            ChildDied: it is not.
        """
        child = self._spare.child if self._spare else VwChild(self._memory, self._command)
        self._spare = None
        self._starts += 1
        self._arms.forget()
        self._nothing_sent()
        child.send(frame(Start(self._model, self._state)))
        answer = _received(child, max(self._patience_s, PATIENCE_S))
        if isinstance(answer, Unusable):
            child.close()
            raise BadCheckpoint(answer.why)
        for piece in _pieces(self._since, None):
            child.send(frame(self._message(piece.texts, serialize=False)))
            answer = _received(child, max(self._patience_s, PATIENCE_S))
            assert isinstance(answer, Learnt), answer
        return child

    def _nothing_sent(self) -> None:
        for piece in self._sent():
            self._attempts.withdrawn(piece.names)
            piece.sent = False

    def _sent(self) -> list[_Piece]:
        return [piece for call in self._calls for piece in call.pieces if piece.sent]


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
        self._bits, self._spare = bits, None if bits is None else self._begun(bits)

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

    def _begun(self, bits: int) -> Spare:
        memory = SharedWeights(bits)
        return Spare(memory, VwChild(memory, self._command))


def _pieces(texts: Sequence[ExampleText], attempts: Attempts | None) -> list[_Piece]:
    """Some hundred examples each; those of which one is suspect need care."""
    pieces: list[_Piece] = []
    arms = 0
    for text in texts:
        full = arms + len(text.arms) > _ARMS_A_PIECE
        if not pieces or full or len(pieces[-1].texts) >= _EXAMPLES_A_PIECE:
            pieces.append(_Piece([]))
            arms = 0
        pieces[-1].texts.append(text)
        arms += len(text.arms)
    if attempts is not None and attempts.any:
        for piece in pieces:
            piece.careful = any(attempts.of(name) for name in piece.names)
    return pieces


def _received(child: VwChild, patience_s: float) -> Answer:
    """The child's next answer.

    Raises:
        ChildDied: it ended, or is about to.
    """
    answer = decode_answer(child.receive(patience_s))
    if isinstance(answer, Broken):
        child.close()
        raise ChildDied(f"raised {answer.why}")
    return answer
