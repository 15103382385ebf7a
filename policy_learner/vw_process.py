"""The process that runs VW: ``python -m policy_learner.vw_process SOCKET MEMORY PARENT``.

The learner starts it. It holds the trainer and does what it is told, one request after another. When its
parent goes, it goes.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import mmap
import os
import resource
import signal
import socket
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from policy_learner.errors import BadCheckpoint, TrainerPoisoned
from policy_learner.learning.trainer import Trainer
from policy_learner.learning.vw_wire import (
    LENGTH,
    Answer,
    Broken,
    Done,
    Learn,
    Learnt,
    NewArms,
    Poisoned,
    Predict,
    Predicted,
    Request,
    Resume,
    Serialize,
    Skipped,
    Start,
    State,
    Unusable,
    Weights,
    decode_request,
    frame,
    text_of_line,
)
from sidecar.contracts.application import Arm

_PR_SET_PDEATHSIG = 1
_OOM_SCORE = "500"
"""Where memory ends, this process goes rather than the learner, which can start another."""


class Service:
    """A trainer, and what its caller has told of arms.

    Args:
        memory: where the weights are put.
        trainers: makes the trainer.
    """

    def __init__(self, memory: mmap.mmap, trainers: type[Trainer] = Trainer) -> None:
        self._memory, self._trainers = memory, trainers
        self._trainer: Trainer
        self._arms: list[Arm] = []
        self._sets: list[tuple[Arm, ...]] = []
        self._stopped = False

    def answer(self, request: Request) -> Answer | None:
        """Do what is asked."""
        match request:
            case Learn():
                return self._learn(request)
            case Resume():
                self._stopped = False
                return None
            case Predict():
                return self._predict(request)
            case Weights():
                np.copyto(np.frombuffer(self._memory, np.float32), self._trainer.weights_values())
                return Done()
            case Serialize():
                return State(self._trainer.serialize())
            case Start():
                return self._start(request)

    def _start(self, request: Start) -> Answer:
        try:
            made = self._trainers
            self._trainer = (
                made(request.model) if request.state is None else made.restore(request.model, request.state)
            )
        except BadCheckpoint as error:
            return Unusable(str(error))
        return Done()

    def _learn(self, request: Learn) -> Answer:
        self._note(request.new)
        if self._stopped:
            return Skipped()
        try:
            expected = self._trainer.learn_texts([text_of_line(line, self._sets) for line in request.lines])
        except TrainerPoisoned as error:
            self._stopped = True
            return Poisoned(error.place, error.expected.shown, error.expected.costs)
        return Learnt(*expected, self._trainer.serialize() if request.serialize else None)

    def _predict(self, request: Predict) -> Answer:
        self._note(request.new)
        scores = [
            self._trainer.predict_text(context, self._sets[number]) for context, number in request.asked
        ]
        return Predicted([one.tobytes() for one in scores])

    def _note(self, new: NewArms) -> None:
        if new.anew:
            self._arms.clear()
            self._sets.clear()
        self._arms += [Arm(*arm) for arm in new.arms]
        self._sets += [tuple([self._arms[number] for number in numbers]) for numbers in new.sets]


def main(argv: Sequence[str], trainers: type[Trainer] = Trainer) -> int:
    """Answer until the other side closes the socket; 1 when something was raised that never should be."""
    connection, memory, parent = (int(argument) for argument in argv)
    _prepare(parent)
    service = Service(mmap.mmap(memory, 0), trainers)
    with socket.socket(fileno=connection) as other, other.makefile("rb") as requests:
        while head := requests.read(LENGTH.size):
            try:
                answer = service.answer(decode_request(requests.read(*LENGTH.unpack(head))))
            except Exception as error:  # whatever it is, this process cannot be trusted any more
                traceback.print_exc()
                other.sendall(frame(Broken(f"{type(error).__name__}: {error}")))
                return 1
            if answer is not None:
                other.sendall(frame(answer))
    return 0


def _prepare(parent: int) -> None:
    """Die with the parent and by nobody else's signals; leave a trace of a crash, and no core."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE)
    if os.getppid() != parent:  # it died before the line above: no signal would ever come
        sys.exit(1)
    for number in (signal.SIGINT, signal.SIGTERM):  # meant for the learner, which says when it is done
        signal.signal(number, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    faulthandler.enable()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
