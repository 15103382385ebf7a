"""The trainer: learns what pays, says what it expected, goes on bit-equal, and survives poison."""

from __future__ import annotations

import random
from itertools import product

import msgspec
import numpy as np
import pytest

from policy_learner.errors import BadCheckpoint, TrainerPoisoned
from policy_learner.learning import trainer as trainer_module
from policy_learner.learning.trainer import Example, Trainer
from policy_learner.learning.vw_format import Foreseen, costs_seen, scores_foreseen
from policy_learner.learning.vw_options import identity_of
from sidecar.contracts.application import Arm
from sidecar.contracts.errors import BadEvent
from sidecar.contracts.model_section import BaseConfig, ModelConfig
from tests.parity.generated import ARM_IDS, AWKWARD_NAMES, arms, decision, features

OPTIONS = list(product(("adaptive", "sgd", "ftrl", "coin"), ("mtr", "ips", "dm", "dr")))
RATES = [
    ("adaptive", {"power_t": 0.0}),
    ("adaptive", {"power_t": 0.9}),
    ("adaptive", {"initial_t": 10.0}),
    ("sgd", {"power_t": 0.0}),
    ("sgd", {"initial_t": 10.0, "power_t": 0.3}),
    ("ftrl", {"ftrl_beta": 0.2}),
    ("coin", {"ftrl_beta": 0.5}),
]
CATALOGUE = arms(random.Random(1), AWKWARD_NAMES, ARM_IDS, 8)


def _model(optimizer="adaptive", cb_type="mtr", interactions=("ca", "aa", "cc"), bits=14) -> ModelConfig:
    rate = {"sgd": 0.0005, "drsgd": 1e-7}.get(cb_type.removesuffix("mtr") + optimizer, 0.3)
    return ModelConfig(
        bits=bits, interactions=interactions, optimizer=optimizer, cb_type=cb_type, learning_rate=rate
    )


def _examples(seed: int, count: int) -> list[Example]:
    """Decisions over the whole catalogue, subsets of it, and arms with features of their own."""
    rng = random.Random(seed)
    found = []
    for n in range(count):
        eligible = CATALOGUE
        if n % 3 == 1:
            eligible = tuple(rng.sample(CATALOGUE, 4))
        elif n % 3 == 2:
            eligible = arms(rng, AWKWARD_NAMES, ARM_IDS, 3)
        event = decision(rng, features(rng, AWKWARD_NAMES), eligible)
        found.append(Example(event, eligible, rng.choice([0.0, 1.0, 2.5])))
    return found


def _same(one: Trainer, other: Trainer) -> bool:
    """Equal in every state column. The adaptive optimizer's fourth is scratch: written before it is read."""
    columns = 3 if one._model.optimizer == "adaptive" else None
    return np.array_equal(one._state[..., :columns], other._state[..., :columns])


@pytest.mark.parametrize(("optimizer", "cb_type"), OPTIONS)
def test_a_restored_trainer_goes_on_to_the_same_bits(optimizer, cb_type):
    """Serialize, restore, learn on, again and again: as if it had never stopped."""
    _goes_on(_model(optimizer, cb_type))


@pytest.mark.parametrize("cb_type", ["mtr", "dr"])
@pytest.mark.parametrize(("optimizer", "rates"), RATES)
def test_a_restored_trainer_goes_on_at_the_same_rate(optimizer, rates, cb_type):
    """What the rate depends on is part of the state, or given again."""
    _goes_on(msgspec.structs.replace(_model(optimizer, cb_type), **rates))


def _goes_on(model: ModelConfig) -> None:
    straight, resumed = Trainer(model), Trainer(model)
    for seed in range(5):
        for one in _examples(50 + seed, 3):  # as the gate does, of live trainers only
            straight.predict(one)
        resumed = Trainer.restore(model, resumed.serialize() if seed % 2 else straight.serialize())
        assert resumed.learn(_examples(seed, 60)) == straight.learn(_examples(seed, 60))
        assert _same(resumed, straight)
        assert resumed.weights_values().tobytes() == straight.weights_values().tobytes()
    assert np.abs(straight.weights_values()).max() > 0.0


@pytest.mark.parametrize(("optimizer", "rates"), RATES)
def test_every_rate_makes_another_model(optimizer, rates):
    """No option is only written down: the weights differ from those of the default."""
    plain, other = Trainer(_model(optimizer)), Trainer(msgspec.structs.replace(_model(optimizer), **rates))
    for trainer in (plain, other):
        trainer.learn(_examples(13, 60))
    assert not np.array_equal(plain.weights_values(), other.weights_values())


def test_a_state_is_named_as_before_these_options_were_there():
    """A checkpoint of an earlier release is of the same model; what does not matter is not in the name."""
    named = (
        b'{"bits":18,"interactions":["ca"],"cb_type":"mtr","optimizer":"adaptive","learning_rate":0.5,'
        b'"max_pending":1}'
    )
    assert identity_of(ModelConfig()) == named
    assert identity_of(ModelConfig(shuffle=500, max_pending=7, base=BaseConfig("b"))) == named
    assert identity_of(ModelConfig(power_t=0.0)) != named


@pytest.mark.parametrize(("optimizer", "cb_type"), OPTIONS)
def test_arms_that_are_kept_parsed_change_no_bit(optimizer, cb_type, monkeypatch):
    """Learning with arms parsed once equals parsing every line anew, as VW's own readers do."""
    kept = Trainer(_model(optimizer, cb_type))
    expected = kept.learn(_examples(3, 90))
    monkeypatch.setattr(trainer_module, "_PARSED_ARMS_KEPT", 0)
    anew = Trainer(_model(optimizer, cb_type))
    again = Foreseen([], [])
    for one in _examples(3, 90):
        again.extend(anew.learn([one]))
    assert again == expected
    assert _same(kept, anew)


@pytest.mark.parametrize(("optimizer", "cb_type"), OPTIONS)
def test_expectations_are_those_before_learning(optimizer, cb_type):
    """What learn returns is what predict said just before, of every arm, best first."""
    trainer = Trainer(_model(optimizer, cb_type))
    for example in _examples(4, 60):
        before = trainer.predict(example)
        foreseen = trainer.learn([example])
        assert foreseen.shown == [before[example.event.arm_index]]
        assert scores_foreseen(foreseen.costs).tolist() == [sorted(before, reverse=True)]


@pytest.mark.parametrize(("optimizer", "cb_type"), OPTIONS)
def test_the_arm_that_pays_scores_higher(optimizer, cb_type):
    """Rewards go in with their sign: after 600 decisions the arm that pays is preferred in each context."""
    model = msgspec.structs.replace(_model(optimizer, cb_type, ("ca",)), learning_rate=0.05)
    trainer, rng = Trainer(model), random.Random(5)
    pair = (Arm("left"), Arm("right"))
    for _ in range(6):
        trainer.learn([_choice(rng, pair) for _ in range(100)])
    for side, best in (("l", 0), ("r", 1)):
        scores = trainer.predict(Example(decision(rng, {"side": side}, pair), pair, 0.0))
        assert int(np.argmax(scores)) == best


def _choice(rng: random.Random, pair) -> Example:
    side = rng.choice("lr")
    event = msgspec.structs.replace(decision(rng, {"side": side}, pair), propensity=0.5)
    return Example(event, pair, float(event.arm.startswith(side)))


def test_batches_change_nothing():
    """One call or many: the same state."""
    one, many = Trainer(_model()), Trainer(_model())
    examples = _examples(6, 50)
    one.learn(examples)
    for example in examples:
        many.learn([example])
    assert _same(one, many)


def test_an_untouched_weight_is_plain_zero():
    """No weight becomes -0.0 on its way from cost to reward: a record would not be sparse any more."""
    trainer = Trainer(_model())
    trainer.learn(_examples(7, 3))
    values = trainer.weights_values()
    assert not np.signbit(values[values == 0.0]).any()


@pytest.mark.parametrize(
    ("change", "reward", "complaint"),
    [
        ({"propensity": 0.0}, 1.0, "propensity 0.0: legal is above 0, to 1"),
        ({"propensity": 1.5}, 1.0, "propensity 1.5"),
        ({"propensity": float("nan")}, 1.0, "propensity nan"),
        ({}, float("nan"), "reward nan"),
        ({}, float("inf"), "reward inf"),
        ({"context": {"hour": float("inf")}}, 1.0, "'hour' is inf"),
        ({"context": {"hour": -2e9}}, 1.0, "'hour' is -2"),
        ({"arm": "another"}, 1.0, "showed 'another', which is not arm"),
        ({"arm_index": 99}, 1.0, "which is not arm 99"),
    ],
)
def test_an_example_that_would_poison_is_refused_before_anything_is_learned(change, reward, complaint):
    """VW itself takes all of these silently. The good example of the same call is not learned either."""
    trainer = Trainer(_model())
    untouched = trainer.serialize()
    good, bad = _examples(8, 2)
    bad = Example(msgspec.structs.replace(bad.event, **change), bad.arms, reward)
    with pytest.raises(BadEvent, match=complaint):
        trainer.learn([good, bad])
    with pytest.raises(BadEvent, match=complaint):
        trainer.check(bad)
    assert trainer.serialize() == untouched


@pytest.mark.parametrize(
    ("eligible", "complaint"),
    [((Arm("x"), Arm("x")), "twice"), ((Arm("x", {"p": float("nan")}),), "'p' is nan"), ((), "is not arm")],
)
def test_arms_that_would_poison_are_refused(eligible, complaint):
    """An arm twice, a feature that is no number, no arm at all."""
    event = decision(random.Random(1), {}, (Arm("x"),))
    with pytest.raises(BadEvent, match=complaint):
        Trainer(_model()).learn([Example(event, eligible, 1.0)])


def test_an_example_that_poisons_the_state_is_named_and_undone():
    """Legal numbers can still overflow: the trainer says which example it was and stands just before it."""
    trainer, clean = Trainer(_model()), Trainer(_model())
    quiet = _examples(9, 20)
    loud = Example(_with_context({"hour": 1e9}), CATALOGUE, 1e9)
    expected = trainer.learn(quiet)
    with pytest.raises(TrainerPoisoned, match=loud.event.decision_id) as caught:
        trainer.learn([*quiet[:3], loud, *quiet[3:]])
    assert caught.value.place == 3
    assert clean.learn(quiet) == expected
    assert clean.learn(quiet[:3]) == caught.value.expected
    assert _same(trainer, clean)
    assert trainer.learn(quiet[3:]) == clean.learn(quiet[3:])


def _with_context(context):
    return decision(random.Random(10), context, CATALOGUE)


def test_snapshots_do_not_disturb_learning(monkeypatch):
    """With a snapshot after every few examples, and arms dropped all the time, the state is the same."""
    plain = Trainer(_model())
    plain.learn(_examples(11, 80))
    monkeypatch.setattr(trainer_module, "_SNAPSHOT_EVERY", 7)
    monkeypatch.setattr(trainer_module, "_PARSED_ARMS_KEPT", 5)
    often = Trainer(_model())
    for example in _examples(11, 80):
        often.learn([example])
    assert _same(plain, often)


def test_a_state_that_was_cut_altered_or_of_another_model_is_refused():
    """VW loads half a model without a word: the trainer does not."""
    trainer = Trainer(_model())
    trainer.learn(_examples(12, 5))
    state = trainer.serialize()
    for length in range(0, len(state), 97):
        with pytest.raises(BadCheckpoint, match="cut or altered"):
            Trainer.restore(_model(), state[:length])
    flipped = bytearray(state)
    flipped[len(state) // 2] ^= 1
    with pytest.raises(BadCheckpoint, match="cut or altered"):
        Trainer.restore(_model(), bytes(flipped))
    with pytest.raises(BadCheckpoint, match="ips"):
        Trainer.restore(_model(cb_type="ips"), state)


def _pair(reward: float, inclusion: float = 1.0, propensity: float = 0.5) -> tuple[Example, Example, Example]:
    """A decision with its reward, assumed to earn nothing, and corrected."""
    (first,) = _examples(7, 1)
    event = msgspec.structs.replace(first.event, inclusion_probability=inclusion, propensity=propensity)
    whole = first._replace(event=event, reward=reward)
    return whole, whole._replace(reward=0.0), whole._replace(correction=True)


def _steady() -> Trainer:
    """Plain gradient steps of one length: the rate stays, and all have as many arms, which VW weighs by.

    It has seen so few that predictions lie beyond all that was rewarded.
    """
    trainer = Trainer(msgspec.structs.replace(_model("sgd"), power_t=0.0, learning_rate=1e-5))
    trainer.learn(_examples(1, 90)[::3])
    return trainer


@pytest.mark.parametrize("reward", [1.0, -0.5, 2.5, 0.0])
def test_an_assumption_and_its_correction_are_the_example(reward):
    """The two steps are the one, but for rounding: also where VW cuts its prediction to what it has seen."""
    waited, assumed, untouched = _steady(), _steady(), _steady().weights_values()
    whole, nothing, correction = _pair(reward)
    assert waited.predict(whole)[whole.event.arm_index] < 0.0  # of rewards from 0 to 2.5
    waited.learn([whole])
    assumed.learn([nothing, correction])
    step = np.abs(waited.weights_values() - untouched).max()
    assert np.abs(assumed.weights_values() - waited.weights_values()).max() <= 1e-3 * step


def test_corrections_of_a_decision_add_up():
    """A reward of 3 is one of 1 and another of 2: nothing of the prediction goes in twice."""
    once, twice, untouched = _steady(), _steady(), _steady().weights_values()
    _, nothing, correction = _pair(3.0)
    once.learn([nothing, correction])
    twice.learn([nothing, correction._replace(reward=1.0), correction._replace(reward=2.0)])
    step = np.abs(once.weights_values() - untouched).max()
    assert np.abs(once.weights_values() - twice.weights_values()).max() <= 1e-3 * step


@pytest.mark.parametrize("optimizer", ["adaptive", "sgd", "ftrl", "coin"])
def test_the_costs_that_vw_has_seen_are_known(optimizer):
    """Corrections are made of what it cuts its predictions to: as its own bytes say, restored or not."""
    trainer = Trainer(_model(optimizer))
    for seed in range(3):
        trainer.learn([e._replace(correction=n % 2 == 1) for n, e in enumerate(_examples(seed, 20))])
        assert trainer._costs == costs_seen(trainer._workspace.serialize())
        assert trainer._costs == Trainer.restore(trainer._model, trainer.serialize())._costs


@pytest.mark.parametrize("optimizer", ["adaptive", "sgd", "ftrl", "coin"])
def test_corrections_go_on_to_the_same_bits(optimizer):
    """A correction's label depends on what is predicted just then: also after a restore, and after poison."""
    model = _model(optimizer)
    straight, resumed = Trainer(model), Trainer(model)
    for seed in range(3):
        mixed = [e._replace(correction=n % 2 == 1) for n, e in enumerate(_examples(seed, 40))]
        resumed = Trainer.restore(model, resumed.serialize())
        assert resumed.learn(mixed) == straight.learn(mixed)
        assert _same(resumed, straight)
        replayed = Trainer.restore(model, straight.serialize())
        replayed._replay([*replayed._since])
        assert _same(replayed, straight)


def test_a_correction_is_foreseen_like_any_other_example():
    """What it expected before: the prediction that its label was made from."""
    trainer = Trainer(_model())
    trainer.learn(_examples(1, 30))
    _, nothing, correction = _pair(1.0)
    expected = float(trainer.predict(nothing)[nothing.event.arm_index])
    assert trainer.learn([correction]).shown == [expected]
    assert float(trainer.predict(nothing)[nothing.event.arm_index]) > expected


@pytest.mark.parametrize("cb_type", ["ips", "dm", "dr"])
def test_only_regression_can_be_corrected(cb_type):
    """The others make costs of rewards in a way that has no difference."""
    with pytest.raises(BadEvent, match="is a correction"):
        Trainer(_model(cb_type=cb_type)).learn([_pair(1.0)[2]])


@pytest.mark.parametrize("cb_type", ["mtr", "ips", "dr"])
def test_who_was_kept_with_a_probability_stands_for_the_others(cb_type):
    """A propensity of 0.25 in a log of which half was kept weighs as 0.125 in one that is whole."""
    thinned, whole = Trainer(_model(cb_type=cb_type)), Trainer(_model(cb_type=cb_type))
    thinned.learn([_pair(1.0, inclusion=0.5, propensity=0.25)[0]])
    whole.learn([_pair(1.0, inclusion=1.0, propensity=0.125)[0]])
    assert _same(thinned, whole)


@pytest.mark.parametrize("inclusion", [0.0, -0.5, 1.5, float("nan"), float("inf")])
def test_an_inclusion_probability_that_is_none_is_refused(inclusion):
    """Before it is learnt from."""
    with pytest.raises(BadEvent, match="inclusion"):
        Trainer(_model()).learn([_pair(1.0, inclusion=inclusion)[0]])
