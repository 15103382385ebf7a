"""VW in a process of its own: the same bits whatever becomes of it, and three strikes for a killer."""

from __future__ import annotations

import mmap
import os
import random
import signal

import msgspec
import numpy as np
import pytest

from policy_learner.errors import BadCheckpoint, ExampleKills, TrainerLost, TrainerPoisoned
from policy_learner.learning import pieces, vw_lives
from policy_learner.learning.attempts import Attempts
from policy_learner.learning.isolated_trainer import IsolatedTrainer
from policy_learner.learning.isolated_trainers import IsolatedTrainers
from policy_learner.learning.known_arms import KnownArms
from policy_learner.learning.trainer import Trainer
from policy_learner.learning.vw_format import Foreseen
from policy_learner.learning.vw_wire import Learn, Start, Weights, line_of
from policy_learner.vw_process import Service
from sidecar.contracts.application import Arm
from sidecar.contracts.errors import BadEvent
from tests.parity.generated import decision
from tests.policy_learner.fragile_vw import command, make_deadly, tries
from tests.policy_learner.test_trainer import CATALOGUE, OPTIONS, _examples, _model
from tests.waiting import until

MODEL = _model()


@pytest.fixture
def made():
    """Trainers that are gone at the end of the test."""
    trainers: list[IsolatedTrainer] = []

    def make(*arguments, **options) -> IsolatedTrainer:
        trainers.append(IsolatedTrainer(*(arguments or (MODEL,)), **options))
        return trainers[-1]

    yield make
    for one in trainers:
        one.close()


def batches(count: int, size: int, seed: int = 20):
    return [_examples(seed + n, size) for n in range(count)]


def all_learnt(trainer, many) -> Foreseen:
    foreseen = Foreseen([], [])
    for examples in many:
        foreseen.extend(trainer.learn(examples))
    return foreseen


def same(one, other) -> bool:
    """Equal weights; and equal states, as far as what comes next shows."""
    equal = one.weights_values().tobytes() == other.weights_values().tobytes()
    more = _examples(99, 20)
    return equal and one.learn(more) == other.learn(more)


def test_what_was_begun_and_is_not_asked_for_has_no_effect(made):
    """An error of the caller's between beginning and learning must not leave a model nobody asked for."""
    here, there = Trainer(MODEL), made()
    first, lost, second, third = batches(4, 30)
    assert there.learn(first) == here.learn(first)
    there.ahead(lost)
    there.ahead(third)
    assert there.learn(second) == here.learn(second)
    assert there.learn(third) == here.learn(third)
    assert same(there, here)


@pytest.mark.parametrize(
    ("optimizer", "cb_type"),
    [("adaptive", "mtr"), ("coin", "ips"), ("ftrl", "dm"), ("adaptive", "dr"), ("sgd", "mtr")],
)
def test_the_bits_are_those_of_the_trainer_in_this_process(made, optimizer, cb_type):
    """What was foreseen, the weights, predictions and state, through a restart from the state too."""
    model = _model(optimizer, cb_type)
    here, there = Trainer(model), made(model)
    many = batches(3, 50)
    assert all_learnt(there, many) == all_learnt(here, many)
    assert there.weights_values().tobytes() == here.weights_values().tobytes()
    probe = _examples(7, 5)
    assert [a.tobytes() for a in there.predict_each(probe)] == [a.tobytes() for a in here.predict_each(probe)]
    assert there.serialize() == here.serialize()
    assert same(made(model, here.serialize()), Trainer.restore(model, there.serialize()))


@pytest.mark.parametrize(("optimizer", "cb_type"), OPTIONS)
def test_what_goes_over_loses_nothing(optimizer, cb_type):
    """Both ends of the wire without the process between them, for every option, corrections included."""
    model = _model(optimizer, cb_type)
    here, service = Trainer(model), Service(mmap.mmap(-1, 4 << model.bits))
    service.answer(Start(model, None))
    arms = KnownArms()
    for examples in batches(3, 40):
        if cb_type == "mtr":
            examples = [one._replace(correction=n % 4 == 0) for n, one in enumerate(examples)]
        texts = [here._checked(example) for example in examples]
        lines = [line_of(text, arms.number(text.arms)) for text in texts]
        sent = msgspec.msgpack.encode(Learn(arms.news(), lines, False))
        answer = service.answer(msgspec.msgpack.decode(sent, type=Learn))
        assert Foreseen(answer.shown, answer.costs) == here.learn(examples)
    service.answer(Weights())
    assert service._memory[:] == here.weights_values().tobytes()


def test_batches_begun_ahead_are_learnt_in_their_order(made):
    """As many as there are, more than the child is given at once."""
    here, there = Trainer(MODEL), made()
    many = batches(10, 30)
    for examples in many:
        there.ahead(examples)
    assert all_learnt(there, many) == all_learnt(here, many)
    assert same(there, here)


def test_long_batches_many_arms_and_forgotten_numbers_change_no_bit(made, monkeypatch):
    """Batches in pieces, states sent over on the way, the arms' numbers begun anew all the time."""
    monkeypatch.setattr(pieces, "_EXAMPLES_A_PIECE", 7)
    monkeypatch.setattr(vw_lives, "_STATE_EVERY", 20)
    monkeypatch.setattr("policy_learner.learning.known_arms._ARMS_KEPT", 9)
    here, there = Trainer(MODEL), made()
    many = batches(4, 50)
    for examples in many[:2]:
        there.ahead(examples)
    assert all_learnt(there, many) == all_learnt(here, many)
    assert len(there._lives._since) < 50
    os.kill(there.pid, signal.SIGKILL)
    assert same(there, here)


def test_a_bad_example_is_refused_here(made):
    """Before anything goes over; an arm with a feature out of range too."""
    there = made()
    untouched = there.serialize()
    good, bad = _examples(8, 2)
    for spoilt in (
        bad._replace(event=msgspec.structs.replace(bad.event, propensity=0.0)),
        bad._replace(arms=(Arm("x", {"p": float("nan")}),)),
    ):
        for ask in (lambda one: there.learn([good, one]), lambda one: there.ahead([good, one]), there.check):
            with pytest.raises(BadEvent):
                ask(spoilt)
    assert there.serialize() == untouched


def test_poison_is_undone_though_more_was_begun(made):
    """What was begun behind it is learnt after what the caller puts in between, one by one."""
    here, there = Trainer(MODEL), made()
    first, behind = _examples(9, 20), _examples(10, 20)
    loud = _examples(1, 1)[0]._replace(arms=CATALOGUE, reward=1e9)
    loud = loud._replace(event=decision(random.Random(10), {"hour": 1e9}, CATALOGUE))
    poisoned = [*first[:5], loud, *first[5:]]
    there.ahead(poisoned)
    there.ahead(behind)
    with pytest.raises(TrainerPoisoned, match=loud.event.decision_id) as caught:
        there.learn(poisoned)
    assert caught.value.place == 5
    assert caught.value.expected == here.learn(first[:5])
    for example in first[5:]:
        assert there.learn([example]) == here.learn([example])
    assert there.learn(behind) == here.learn(behind)
    assert same(there, here)
    assert there.restarts == 0


@pytest.mark.parametrize("number", [signal.SIGKILL, pytest.param(signal.SIGSTOP, marks=pytest.mark.slow)])
def test_a_child_that_is_killed_or_stopped_leaves_no_trace(made, number):
    """Idle, and with work before it; what was under way is done again, and nobody is blamed in the end."""
    here, there = Trainer(MODEL), made(patience_s=1.0)
    many = batches(8, 30)
    assert there.learn(many[0]) == here.learn(many[0])
    os.kill(there.pid, number)
    for examples in many[1:4]:
        there.ahead(examples)
    assert all_learnt(there, many[1:4]) == all_learnt(here, many[1:4])
    for examples in many[4:]:
        there.ahead(examples)
    os.kill(there.pid, number)
    assert all_learnt(there, many[4:]) == all_learnt(here, many[4:])
    os.kill(there.pid, number)
    assert same(there, here)
    assert there.restarts >= 2
    assert not there._attempts.any


@pytest.mark.parametrize(
    "death",
    ["crash", *(pytest.param(death, marks=pytest.mark.slow) for death in ("complain", "abort", "hang"))],
)
def test_a_killer_is_given_up_after_the_third_time(made, tmp_path, death):
    """VW's own crash, its own complaint, an abort, and a loop without end: named, with how it ended."""
    here = Trainer(MODEL)
    there = made(MODEL, command=command(tmp_path), patience_s=1.0)
    examples, behind = _examples(30, 12), _examples(31, 12)
    killer = examples[7]
    make_deadly(tmp_path, {killer.event.decision_id: death})
    there.ahead(examples)
    there.ahead(behind)
    with pytest.raises(ExampleKills, match=killer.event.decision_id) as caught:
        there.learn(examples)
    assert caught.value.place == 7
    told = {"crash": "SIGSEGV", "complain": "only one line", "abort": "SIGABRT", "hang": "no answer for 1 s"}
    assert told[death] in str(caught.value)
    assert caught.value.expected == here.learn(examples[:7])
    for example in examples[8:]:
        assert there.learn([example]) == here.learn([example])
    assert there.learn(behind) == here.learn(behind)
    assert tries(tmp_path) == {killer.event.decision_id: 3}
    assert there.weights_values().tobytes() == here.weights_values().tobytes()


def test_what_kills_once_is_learnt(made, tmp_path):
    """It was not its fault, or will not be found out: nothing is lost."""
    here, there = Trainer(MODEL), made(MODEL, command=command(tmp_path))
    examples = _examples(32, 12)
    make_deadly(tmp_path, {examples[3].event.decision_id: "abort once"})
    assert there.learn(examples) == here.learn(examples)
    assert same(there, here)
    assert not there._attempts.any


def test_a_learner_that_died_with_it_tries_it_alone_and_not_for_ever(made, tmp_path):
    """Its failures are counted over learners; with three it is not tried at all."""
    path, examples = tmp_path / "attempts", _examples(33, 6)
    make_deadly(tmp_path, {examples[2].event.decision_id: "abort"})
    for learner in range(3):
        attempts = Attempts(path)
        there = made(MODEL, attempts=attempts, command=command(tmp_path))
        there.ahead(examples)
        if learner == 0:  # ends here, as by kill -9: nobody looks at what came of it
            until(lambda: tries(tmp_path).total() == 1, 60.0, "tried")
            continue
        with pytest.raises(ExampleKills) as caught:
            there.learn(examples)
        assert caught.value.place == 2
    assert tries(tmp_path).total() == 3


def test_a_child_that_cannot_be_started_is_said_and_tried_again(made):
    """The call may be repeated when it can: nothing is lost and nothing doubled."""
    here, there = Trainer(MODEL), made()
    many = batches(3, 20)
    assert there.learn(many[0]) == here.learn(many[0])
    there._lives._command, good = ("false",), there._lives._command
    os.kill(there.pid, signal.SIGKILL)
    there.ahead(many[1])
    for _ in range(2):
        with pytest.raises(TrainerLost, match="ended with code 1"):
            there.learn(many[1])
    there._lives._command = good
    assert all_learnt(there, many[1:]) == all_learnt(here, many[1:])
    assert same(there, here)


def test_a_state_of_another_model_is_refused(tmp_path):
    """As by the trainer in this process; no child is left."""
    trainers = IsolatedTrainers(tmp_path / "attempts")
    state = Trainer(MODEL).serialize()
    with pytest.raises(BadCheckpoint, match="cut or altered"):
        trainers.restore(MODEL, state[:-1])
    with pytest.raises(BadCheckpoint, match="ips"):
        trainers.restore(_model(cb_type="ips"), state)


def test_weights_are_copied_once_and_not_for_writing(made):
    """Gate and record look at the same ones; the next example makes others."""
    there = made()
    before = there.weights_values()
    assert there.weights_values() is before
    with pytest.raises(ValueError, match="read-only"):
        before[0] = 1.0
    there.learn(_examples(34, 5))
    assert not np.array_equal(there.weights_values(), before)
    assert not before.any()
