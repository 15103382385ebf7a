"""A trainer whose weights are a fold of everything it learnt, in order: one example more, less, twice or in
another place, and every weight is another. It takes microseconds where VW takes milliseconds to begin; VW
itself is in the run of real processes, and in every twentieth seed.
"""

from __future__ import annotations

import hashlib

import numpy as np

from policy_learner.learning.vw_format import Foreseen
from sidecar.contracts.errors import BadEvent


class FoldTrainer:
    def __init__(self, model, state=bytes(32)):
        self._size, self._state = 2**model.bits, state

    @classmethod
    def restore(cls, model, state):
        return cls(model, state)

    def learn(self, examples):
        for example in examples:
            self.check(example)
        for example in examples:
            told = f"{example.event.decision_id} {example.reward!r} {example.correction}".encode()
            self._state = hashlib.sha256(self._state + told).digest()
        return Foreseen([0.0] * len(examples), [bytes(4 * len(example.arms)) for example in examples])

    def check(self, example):
        if not 0.0 < example.event.propensity <= 1.0:
            raise BadEvent(f"{example.event.decision_id}: propensity {example.event.propensity}")

    def weights_values(self):
        return np.resize(np.frombuffer(self._state, np.uint8), self._size).astype(np.float32)

    def serialize(self):
        return self._state
