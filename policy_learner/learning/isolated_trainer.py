"""A trainer in a process of its own: VW may abort, hang or be killed; the learner goes on to the same bits.

Here examples are checked and written as text; over there VW learns from them, meanwhile here goes on. A child
that dies is started again and brought to where it was (``vw_lives.py``). Whatever it was busy with is then
learnt one by one, so that the next death names its example; with the third one it is given up
(:class:`Attempts`).
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Sequence

from policy_learner.errors import ExampleKills, TrainerPoisoned
from policy_learner.learning.attempts import MOST_FAILURES, Attempts, name_of
from policy_learner.learning.pieces import Call, Piece, pieces_of
from policy_learner.learning.trainers import Float32s
from policy_learner.learning.vw_child import COMMAND, ChildDied, VwChild
from policy_learner.learning.vw_format import (
    Example,
    ExampleText,
    Foreseen,
    check_correction,
    context_line,
    text_of,
)
from policy_learner.learning.vw_lives import PATIENCE_S, Spare, VwLives, scores_in
from policy_learner.learning.vw_wire import (
    Learnt,
    Poisoned,
    Predict,
    Predicted,
    Request,
    Resume,
    Serialize,
    State,
    frame,
)
from sidecar.contracts.events import features_of
from sidecar.contracts.model_section import ModelConfig

_AHEAD = 8
"""Pieces that the child may have before it: enough never to wait, few to write down."""

log = logging.getLogger("sidearm.learner")


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
        self._model = model
        self._attempts = attempts or Attempts(None)
        self._lives = VwLives(model, state, patience_s, command, spare, self._nothing_sent)
        self._values: Float32s | None = None
        self._calls: deque[Call] = deque()
        self._lives.living()

    @property
    def pid(self) -> int | None:
        """Of the child, while there is one."""
        return self._lives.child.pid if self._lives.child else None

    @property
    def restarts(self) -> int:
        """How often the child had to be started again."""
        return self._lives.starts - 1

    def ahead(self, examples: Sequence[Example]) -> None:
        """Begin with what :meth:`learn` will be called with next, as the same object.

        Raises:
            BadEvent: one would poison the model; none of them was begun.
        """
        self._calls.append(self._call(examples))
        if self._lives.child is not None:
            self._send_ahead(self._lives.child)

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
        contexts, arms = [context_line(features_of(example.event)) for example in examples], self._lives.arms

        def asked() -> Request:
            arms.make_room()
            numbers = [arms.number(example.arms) for example in examples]
            return Predict(arms.news(), list(zip(contexts, numbers, strict=True)))

        answer = self._at_rest.ask(asked)
        assert isinstance(answer, Predicted)
        return scores_in(answer.scores)

    def predict(self, example: Example) -> Float32s:
        """The same for one."""
        return self.predict_each([example])[0]

    def weights_values(self) -> Float32s:
        """The weights, shape ``(2 ** bits,)``, reward-signed: score = sum of w·x. Not to be written to."""
        if self._values is None:
            self._values = self._at_rest.weights()
            self._values.setflags(write=False)
        return self._values

    def serialize(self) -> bytes:
        """All of the trainer's state: any trainer restored from it goes on as this one would."""
        answer = self._at_rest.ask(Serialize)
        assert isinstance(answer, State)
        self._lives.stands_at(answer.state)
        return answer.state

    def close(self) -> None:
        """It is not wanted any more, nor what it has begun. Whatever is called next starts another child."""
        self._lives.end()
        self._calls.clear()

    @property
    def _at_rest(self) -> VwLives:
        """For what can only be asked between two calls of ``learn``."""
        assert not self._sent(), "asked while it learns"
        return self._lives

    def _text(self, example: Example) -> ExampleText:
        check_correction(example, self._model.cb_type)
        self._lives.arms.check(example.arms)
        return text_of(example)

    def _call(self, examples: Sequence[Example]) -> Call:
        return Call(examples, deque(pieces_of([self._text(example) for example in examples], self._attempts)))

    def _begun(self, examples: Sequence[Example]) -> Call:
        """What ``ahead``, or a call that could not be finished, was about; or a call that goes first."""
        if self._calls and self._calls[0].examples is examples:
            return self._calls[0]
        if self._sent():  # begun, and never asked for: the caller went on with something else
            log.warning("what VW has begun is not what comes next: starting another process")
            self._lives.end()
            self._calls.clear()
        call = self._call(examples)
        call.alone = True
        self._calls.appendleft(call)
        return call

    def _finish(self, call: Call, piece: Piece) -> None:
        if not piece.careful:
            try:
                self._learnt(call, piece)
            except ChildDied as death:
                self._died(death, piece.texts)
                piece.careful = True
        while piece.careful and piece.texts:
            self._try_first(call, piece)

    def _learnt(self, call: Call, piece: Piece) -> None:
        """Wait for what the child says of a piece.

        Raises:
            TrainerPoisoned: one poisoned it.
            ChildDied: it died of it, or otherwise.
        """
        # One that died of what it was sent is not replaced before it is known of which piece.
        lives = self._lives
        child = lives.child if lives.child is not None and piece.sent else lives.living()
        self._send_ahead(child)
        self._take(child, call, piece)

    def _take(self, child: VwChild, call: Call, piece: Piece) -> None:
        """What the child says of a piece that was sent; raises as :meth:`_learnt`."""
        answer = self._lives.received(child)
        if isinstance(answer, Poisoned):
            self._poisoned(child, call, piece, answer)
        assert isinstance(answer, Learnt), answer
        self._attempts.succeeded(piece.names)
        call.foreseen.extend(Foreseen(answer.shown, answer.costs))
        self._lives.learnt(piece.texts, answer.state)

    def _try_first(self, call: Call, piece: Piece) -> None:
        """Learn the first example of a piece alone, if it has not killed too often.

        Raises:
            TrainerPoisoned, ExampleKills: it is not learnt.
        """
        text = piece.texts[0]
        place = len(call.foreseen.shown)
        failures = self._attempts.of(name_of(text))
        if failures is not None and failures.times >= MOST_FAILURES:
            raise ExampleKills(text.decision_id, place, call.foreseen, failures.reason)
        alone = Piece([text])
        try:
            child = self._lives.living()
            self._send(child, alone)
            self._take(child, call, alone)
        except ChildDied as death:
            self._died(death, [text])
        else:
            del piece.texts[0]

    def _poisoned(self, child: VwChild, call: Call, piece: Piece, answer: Poisoned) -> None:
        """Those before it are learnt; what the child had before it was skipped, and will be sent again.

        Raises:
            TrainerPoisoned: always.
        """
        place = len(call.foreseen.shown) + answer.place
        call.foreseen.extend(Foreseen(answer.shown, answer.costs))
        self._lives.learnt(piece.texts[: answer.place])
        self._attempts.withdrawn(piece.names)
        piece.sent = False
        try:
            for _ in self._sent():
                self._lives.received(child)
            child.send(frame(Resume()))
        except ChildDied as death:
            log.warning("the process that runs VW %s: starting another", death)
            self._lives.end()
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

    def _send(self, child: VwChild, piece: Piece) -> None:
        self._attempts.begin(piece.names)
        self._lives.send(child, piece.texts)
        piece.sent = True
        self._values = None

    def _died(self, death: ChildDied, suspects: Sequence[ExampleText]) -> None:
        log.error("the process that runs VW %s: starting another", death)
        self._attempts.failed([name_of(text) for text in suspects], str(death))
        self._lives.end()

    def _nothing_sent(self) -> None:
        for piece in self._sent():
            self._attempts.withdrawn(piece.names)
            piece.sent = False

    def _sent(self) -> list[Piece]:
        return [piece for call in self._calls for piece in call.pieces if piece.sent]
