"""The trainer: the only module that runs Vowpal Wabbit.

``--cb_adf`` (contextual bandit with features per arm), crossed namespaces, one of four optimizers. Rewards go
in and reward-signed numbers come out; costs stay in ``vw_format``.

Poison is mostly silent in VW: an infinite gradient leaves states behind that are not numbers while it
predicts 0.0. So what goes in is checked before, and every column of the state after.

Source: the reductions mtr, ips, dm and dr of A. Bietti, A. Agarwal and J. Langford, "A Contextual Bandit
Bake-off", 2021; adaptive, normalised updates of S. Ross, P. Mineiro and J. Langford, "Normalized Online
Learning", 2013.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, TypeVar, cast

import msgspec
import numpy as np
import numpy.typing as npt
from vowpal_wabbit_next import Workspace, _core

from policy_learner.errors import BadCheckpoint, TrainerPoisoned
from policy_learner.learning.vw_format import (
    Example,
    ExampleText,
    Foreseen,
    arm_line,
    check_arms,
    check_correction,
    context_line,
    corrected,
    cost_of,
    costs_seen,
    packed,
    reward_signed,
    text_of,
)
from policy_learner.learning.vw_options import begin_with, identity_of, options_of
from sidecar.contracts.application import Arm
from sidecar.contracts.errors import BadWeights
from sidecar.contracts.events import features_of
from sidecar.contracts.model_section import ModelConfig
from sidecar.contracts.weights import Weights

__all__ = ["Example", "Foreseen", "Trainer"]

Key = TypeVar("Key")
Made = TypeVar("Made")
Float32s = npt.NDArray[np.float32]

_Parsed = _core.Example
_Predicted = list[tuple[int, float]]  # what --cb_adf answers: place among the arms, cost

_MAGIC = b"SDT1"
_DIGEST_BYTES = 32
_ARM_LINES_KEPT = 65_536
_PARSED_ARMS_KEPT = 2048
"""VW's example structure takes 31 KB however few its features: 64 MB."""
_ARM_SETS_KEPT = 512
_SNAPSHOT_EVERY = 4096
_SNAPSHOT_EVERY_ARMS = 262_144

# vowpal_wabbit_next checks every line of every example from Python, which takes three times as long as
# learning from it. Its compiled module is called directly: the version is pinned for that reason, and the
# parity suite fails if one of the calls changes.
_parse = _core._parse_line_text


class Trainer:
    """A model in training.

    Args:
        model: what is trained, and how.
    """

    def __init__(self, model: ModelConfig) -> None:
        self._model = model
        self._lines = _KeptByIdentity(arm_line, _ARM_LINES_KEPT)
        self._start(None)
        self._mark()

    def learn(self, examples: Iterable[Example]) -> Foreseen:
        """Learn from examples, in order; what was expected of each one's arms before learning from it.

        Each call ends with a look at every state column (0.1 ms for 18 bits): give it some hundred examples.

        Raises:
            BadEvent: an example that would poison the model; nothing of this call was learned.
            TrainerPoisoned: an example did poison it. The trainer stands as it did just before that example.
        """
        return self.learn_texts([self._checked(example) for example in examples])

    def learn_texts(self, texts: Sequence[ExampleText]) -> Foreseen:
        """Learn from examples that were checked and written as text before.

        Raises:
            TrainerPoisoned: as :meth:`learn`.
        """
        expected = Foreseen([], [])
        for text in texts:
            self._learn_one(text, expected)
        if not self._is_finite():
            self._blame(texts)
        self._remember(texts)
        return expected

    def check(self, example: Example) -> None:
        """Refuse what :meth:`learn` would refuse, alone.

        Raises:
            BadEvent: the example would poison the model.
        """
        self._checked(example)

    def predict(self, example: Example) -> Float32s:
        """VW's own scores of an example's arms, reward-signed: what the gate compares with the sidecar's."""
        return self.predict_text(context_line(features_of(example.event)), example.arms)

    def predict_each(self, examples: Sequence[Example]) -> list[Float32s]:
        """The same for several."""
        return [self.predict(example) for example in examples]

    def predict_text(self, context: str, arms: tuple[Arm, ...]) -> Float32s:
        """VW's own scores of arms in a context that was written as text before, reward-signed."""
        parsed = self._parsed_sets.get(arms)
        answer = self._core.predict_multi_ex_one([_parse(self._core, context), *parsed])
        predicted = dict(cast(_Predicted, answer))
        return reward_signed(np.array([predicted[place] for place in range(len(arms))], np.float32))

    def weights_values(self) -> Float32s:
        """A copy of the weights, shape ``(2 ** bits,)``, reward-signed: score = sum of w·x."""
        return reward_signed(self._state[:, 0, 0])

    def serialize(self) -> bytes:
        """All of the trainer's state: weights, the optimizer's sums, and what model it is.

        A trainer restored from it goes on as this one would, to the last bit.
        """
        header = identity_of(self._model)
        body = _MAGIC + len(header).to_bytes(4, "little") + header + self._workspace.serialize()
        return body + hashlib.sha256(body).digest()

    @classmethod
    def warm(cls, model: ModelConfig, weights: Weights) -> Trainer:
        """A trainer that begins with these weights, as if it had seen nothing yet: its rates begin anew.

        Raises:
            BadWeights: of another bit width or other interactions, or the optimizer cannot begin with any.
        """
        fits = weights.header.bits == model.bits
        if not fits or sorted(weights.header.interactions) != sorted(model.interactions):
            raise BadWeights(
                f"these weights have {weights.header.bits} bits and interactions"
                f" {list(weights.header.interactions)}, [model] in app.toml says {model.bits} and"
                f" {list(model.interactions)}"
            )
        trainer = cls(model)
        begin_with(model, trainer._state[:, 0], weights.values)
        trainer._mark()
        return trainer

    @classmethod
    def restore(cls, model: ModelConfig, state: bytes) -> Trainer:
        """The trainer that :meth:`serialize` was called on.

        Raises:
            BadCheckpoint: ``state`` is cut or altered, or of a model with another configuration.
        """
        body, digest = state[:-_DIGEST_BYTES], state[-_DIGEST_BYTES:]
        if body[:4] != _MAGIC or hashlib.sha256(body).digest() != digest:
            raise BadCheckpoint(f"trainer state of {len(state)} bytes is cut or altered")
        at = 8 + int.from_bytes(body[4:8], "little")
        found, wanted = body[8:at], identity_of(model)
        if found != wanted:
            raise BadCheckpoint(f"trainer state is of model {found.decode()}, not {wanted.decode()}")
        trainer = cls(model)
        trainer._start(body[at:])
        trainer._mark()
        return trainer

    def _start(self, vw_state: bytes | None) -> None:
        """A new VW, from nothing or from its own bytes.

        The options are given both times: VW's bytes hold most of them, but not ``--ftrl_alpha``, and a
        resumed learner would silently learn at another rate.
        """
        self._workspace: Workspace[Any] = Workspace(options_of(self._model), model_data=vw_state)
        self._core = self._workspace._workspace
        self._costs = costs_seen(vw_state) if vw_state else (0.0, 0.0)
        # A view: (2 ** bits, tables, columns). Of dr's two tables the first scores; VW says that there were
        # twice as many rows, and whoever touches those beyond its memory crashes.
        self._state = self._workspace.weights()[: 1 << self._model.bits]
        # VW leaves an example without label as it was, so learning from a kept one changes no bit: tested.
        self._parsed = _KeptByIdentity(self._parse_arm, _PARSED_ARMS_KEPT)
        self._parsed_sets = _KeptByIdentity(self._parse_arms, _ARM_SETS_KEPT)

    def _parse_arm(self, arm: Arm) -> _Parsed:
        return _parse(self._core, self._lines.get(arm))

    def _parse_arms(self, arms: tuple[Arm, ...]) -> list[_Parsed]:
        check_arms(arms)
        if len(self._parsed) + len(arms) > _PARSED_ARMS_KEPT:  # a set holds its arms: they go together
            self._parsed.clear()
            self._parsed_sets.clear()
        return [self._parsed.get(arm) for arm in arms]

    def _checked(self, example: Example) -> ExampleText:
        check_correction(example, self._model.cb_type)
        if example.arms not in self._parsed_sets:
            check_arms(example.arms)
            for arm in example.arms:
                self._lines.get(arm)  # refuses features outside their range; parsed when it is learnt from
        return text_of(example)

    def _learn_one(self, text: ExampleText, expected: Foreseen) -> None:
        lines = [_parse(self._core, text.context), *self._parsed_sets.get(text.arms)]
        label = text.label if text.correction is None else self._correction(text, lines)
        cost, (least, most) = cost_of(label), self._costs
        self._costs = (min(least, cost), max(most, cost))
        lines[text.shown + 1] = _parse(self._core, label + self._lines.get(text.arms[text.shown]))
        predicted = dict(cast(_Predicted, self._core.predict_then_learn_multi_ex_one(lines)))
        expected.shown.append(0.0 - predicted[text.shown])
        expected.costs.append(packed(predicted.values()))

    def _correction(self, text: ExampleText, lines: list[_Parsed]) -> str:
        predicted = dict(cast(_Predicted, self._core.predict_multi_ex_one(lines)))
        return corrected(text, predicted[text.shown], self._costs)

    def _is_finite(self) -> bool:
        """Whether every column of the state is; extremes tell, and need no temporary array."""
        return bool(np.isfinite(self._state.max()) and np.isfinite(self._state.min()))

    def _mark(self) -> None:
        """Remember the state as it is, so that a poisoned example can be found and undone."""
        self._snapshot = self._workspace.serialize()
        self._since: list[ExampleText] = []
        self._since_arms = 0

    def _remember(self, texts: Sequence[ExampleText]) -> None:
        self._since += texts
        self._since_arms += sum([len(text.arms) for text in texts])
        if len(self._since) >= _SNAPSHOT_EVERY or self._since_arms >= _SNAPSHOT_EVERY_ARMS:
            self._mark()

    def _blame(self, texts: Sequence[ExampleText]) -> None:
        """Find the example that broke the state, go back to just before it, and say so."""
        self._replay(self._since)
        expected = Foreseen([], [])
        for place, text in enumerate(texts):
            self._learn_one(text, expected)
            if not self._is_finite():
                self._replay([*self._since, *texts[:place]])
                self._remember(texts[:place])
                raise TrainerPoisoned(
                    text.decision_id, place, Foreseen(expected.shown[:place], expected.costs[:place])
                )

    def _replay(self, texts: Sequence[ExampleText]) -> None:
        self._start(self._snapshot)
        unwanted = Foreseen([], [])
        for text in texts:
            self._learn_one(text, unwanted)


def restated(state: bytes, model: ModelConfig) -> bytes:
    """What :meth:`Trainer.serialize` gave, as the state of a model that learns at another rate.

    Rates are no part of what was learnt: they are given to VW anew whenever a state is loaded.

    Raises:
        BadCheckpoint: the state is of a model that differs in more.
    """
    at = 8 + int.from_bytes(state[4:8], "little")
    found = msgspec.json.decode(state[8:at], type=dict[str, object])
    header = identity_of(model)
    wanted = msgspec.json.decode(header, type=dict[str, object])
    if found | {"learning_rate": None} != wanted | {"learning_rate": None}:
        raise BadCheckpoint(f"trainer state is of model {found}, not {wanted}")
    body = _MAGIC + len(header).to_bytes(4, "little") + header + state[at:-_DIGEST_BYTES]
    return body + hashlib.sha256(body).digest()


class _KeptByIdentity(Generic[Key, Made]):
    """Something made once for each object: a catalogue's arms come again with every decision.

    An object is kept with what was made of it, so that no other can take its identity.
    """

    def __init__(self, make: Callable[[Key], Made], capacity: int) -> None:
        self._make, self._capacity = make, capacity
        self._kept: dict[int, tuple[Key, Made]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def __contains__(self, key: Key) -> bool:
        return id(key) in self._kept

    def clear(self) -> None:
        self._kept.clear()

    def get(self, key: Key) -> Made:
        kept = self._kept.get(id(key))
        if kept is None:
            made = self._make(key)
            if len(self._kept) >= self._capacity:  # arms with features of their own come only once
                self._kept.clear()
            kept = self._kept[id(key)] = (key, made)
        return kept[1]
