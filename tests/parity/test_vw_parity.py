"""The sidecar's score is Vowpal Wabbit's prediction, for every option that the platform allows."""

from __future__ import annotations

import random
from itertools import product

import numpy as np
import pytest
from vowpal_wabbit_next import TextFormatParser, Workspace

from policy_learner.learning import trainer as trainer_module
from policy_learner.learning.trainer import Example, Trainer
from sidecar.contracts.application import Arm, Features
from sidecar.contracts.model_options import refused_option
from sidecar.contracts.model_section import ModelConfig
from sidecar.contracts.weights import Weights, WeightsHeader, weights_of
from sidecar.policy.adapters import RowInput
from sidecar.policy.arm_table import ArmTable, compile_arms
from sidecar.policy.features import compile_context
from sidecar.policy.model import scores_of
from tests.parity.generated import (
    ARM_IDS,
    AWKWARD_NAMES,
    PLAIN_ARM_IDS,
    PLAIN_NAMES,
    arms,
    decision,
    features,
)

CONTEXTS = 1000
TOLERANCE = 1e-6
INTERACTIONS = [(), ("ca",), ("aa",), ("cc",), ("ca", "aa", "cc")]
OPTIONS = list(product(("adaptive", "sgd", "ftrl", "coin"), ("mtr", "ips", "dm", "dr")))
RATES = [
    {"power_t": 0.0},
    {"power_t": 0.9},
    {"initial_t": 10.0},
    {"optimizer": "sgd", "power_t": 0.0},
    {"optimizer": "sgd", "initial_t": 10.0},
    {"optimizer": "ftrl", "ftrl_beta": 0.2},
    {"optimizer": "coin", "ftrl_beta": 0.5},
]
REFUSED = [("--l1", "1e-3", 1e-3), ("--l2", "1e-3", 1e-3), ("--hash_seed", "3", 1.0)]
"""VW's option, a value, and how far apart the scores then are at least."""


@pytest.mark.parametrize("interactions", INTERACTIONS, ids="+".join)
def test_random_weights_score_alike_through_the_trainers_text(interactions):
    """With every weight at random and names of every kind, both give the same score of every arm."""
    rng = random.Random(7)
    trainer = Trainer(ModelConfig(interactions=interactions))
    _fill(trainer._state[:, 0, 0])
    weights = _weights(trainer.weights_values(), interactions)
    worst = max(
        _disparity(weights, example, trainer.predict(example))
        for example in (_example(rng) for _ in range(CONTEXTS))
    )
    assert worst <= TOLERANCE


@pytest.mark.parametrize("interactions", INTERACTIONS, ids="+".join)
def test_random_weights_score_alike_through_plain_names(interactions):
    """VW's own reading of the names (--hash all) gives the same scores: the hash is VW's, digits included."""
    rng = random.Random(8)
    crossed = [option for pair in interactions for option in ("-q", pair)]
    vw = Workspace(["--cb_adf", "--quiet", "--hash", "all", "-b", "18", *crossed])
    _fill(vw.weights()[:, 0, 0])
    weights = _weights(np.float32(0.0) - vw.weights()[:, 0, 0], interactions)
    parser = TextFormatParser(vw)
    worst = 0.0
    for _ in range(CONTEXTS):
        example = _example(rng, PLAIN_NAMES, PLAIN_ARM_IDS)
        lines = [_plain("shared |c", example.event.context), *[_plain_arm(arm) for arm in example.arms]]
        predicted = dict(vw.predict_one([parser.parse_line(line) for line in lines]))
        theirs = np.array([-predicted[place] for place in range(len(example.arms))])
        worst = max(worst, _disparity(weights, example, theirs))
    assert worst <= TOLERANCE


@pytest.mark.parametrize(("optimizer", "cb_type"), OPTIONS)
@pytest.mark.parametrize("interactions", INTERACTIONS, ids="+".join)
def test_learned_weights_score_alike(optimizer, cb_type, interactions):
    """While it learns, with every optimizer and reduction, its weights score as the trainer predicts."""
    rate = 0.5 if optimizer != "sgd" else 1e-7 if cb_type == "dr" else 0.001
    _hold_apart(
        ModelConfig(
            bits=16, interactions=interactions, optimizer=optimizer, cb_type=cb_type, learning_rate=rate
        )
    )


@pytest.mark.parametrize("rates", RATES, ids=str)
def test_weights_learned_at_every_rate_score_alike(rates):
    """No option of the rate keeps anything beside the weights that predicts."""
    rate = 0.001 if rates.get("optimizer") == "sgd" else 0.5
    _hold_apart(ModelConfig(bits=16, interactions=("ca", "aa", "cc"), learning_rate=rate, **rates))


@pytest.mark.parametrize(("option", "value", "least"), REFUSED)
def test_options_that_are_refused_would_not_score_alike(option, value, least, monkeypatch):
    """Why they are: the comparison finds each of them, and ``app.toml`` names its reason."""
    options = trainer_module.options_of
    monkeypatch.setattr(trainer_module, "options_of", lambda model: [*options(model), option, value])
    assert _worst(ModelConfig(bits=16, interactions=("ca",)))[0] > least
    assert option.removeprefix("--") in refused_option({option.removeprefix("--"): 1})


def _hold_apart(model: ModelConfig) -> None:
    worst, largest = _worst(model)
    assert largest > 0.0
    assert worst <= TOLERANCE


def _worst(model: ModelConfig) -> tuple[float, float]:
    """While it learns: the largest disparity, and the largest weight."""
    rng, trainer = random.Random(9), Trainer(model)
    worst, largest = 0.0, 0.0
    for _ in range(10):
        trainer.learn([_example(rng) for _ in range(30)])
        weights = _weights(trainer.weights_values(), model.interactions, bits=model.bits)
        largest = max(largest, float(np.abs(weights.values).max()))
        for example in (_example(rng) for _ in range(10)):
            worst = max(worst, _disparity(weights, example, trainer.predict(example)))
    return worst, largest


@pytest.mark.parametrize("name", ["constant", "context", "arm", "crossed"])
def test_one_altered_weight_is_noticed(name):
    """The comparison can fail: whichever kind of weight differs by 1e-3, it shows."""
    example = Example(*_known_example())
    trainer = Trainer(ModelConfig(interactions=("ca",)))
    _fill(trainer._state[:, 0, 0])
    values = trainer.weights_values()
    values[_place(name)] += 1e-3
    weights = _weights(values, ("ca",))
    assert _disparity(weights, example, trainer.predict(example)) > 10 * TOLERANCE


def test_interactions_beyond_the_weights_are_noticed():
    """A scorer that forgets an interaction does not pass."""
    rng = random.Random(10)
    trainer = Trainer(ModelConfig(interactions=("ca", "aa")))
    _fill(trainer._state[:, 0, 0])
    weights = _weights(trainer.weights_values(), ("ca",))
    examples = [_example(rng) for _ in range(20)]
    assert max(_disparity(weights, one, trainer.predict(one)) for one in examples) > 1e-3


def _example(rng: random.Random, names=AWKWARD_NAMES, ids=ARM_IDS) -> Example:
    eligible = arms(rng, names, ids)
    return Example(decision(rng, features(rng, names), eligible), eligible, rng.choice([0.0, 0.0, 1.0, -0.5]))


def _known_example():
    eligible = (Arm("sku-1", {"price": 2.5}),)
    return decision(random.Random(0), {"device": "ios"}, eligible), eligible, 1.0


def _place(name: str) -> int:
    """Where the weights of the known example lie, from their own, independent arithmetic."""
    import mmh3

    def place(namespace: str, feature: str) -> int:
        return mmh3.hash(feature, mmh3.hash(namespace, 0, signed=False), signed=False)

    context, arm = place("c", "device=ios"), place("a", "id=sku-1")
    kinds = {"constant": 11650396, "context": context, "arm": arm, "crossed": (16777619 * context) ^ arm}
    return kinds[name] & (2**18 - 1)


def _fill(values: np.ndarray) -> None:
    values[:] = np.random.default_rng(3).normal(size=len(values)).astype(np.float32)


def _weights(values: np.ndarray, interactions: tuple[str, ...], bits: int = 18) -> Weights:
    header = WeightsHeader(
        version=1, bits=bits, interactions=interactions, positions=(), trained_until_ms=0, epoch=1, examples=0
    )
    return weights_of(header, values)


def _disparity(weights: Weights, example: Example, theirs: np.ndarray) -> float:
    """Largest |ours - VW's| / (1 + Σ|w·x|) over the arms."""
    row = RowInput(compile_context(example.event.context), compile_arms(example.arms))
    context = row.context._replace(values=np.abs(row.context.values))
    table = ArmTable(row.arms.ids, row.arms.hashes, np.abs(row.arms.values))
    sizes = scores_of(RowInput(context, table), Weights(weights.header, np.abs(weights.values)))
    ours = scores_of(row, weights).astype(np.float64)
    return float(np.max(np.abs(ours - theirs.astype(np.float64)) / (1.0 + sizes)))


def _plain_arm(arm: Arm) -> str:
    return _plain(f"|a id={arm.id}", arm.features)


def _plain(start: str, given: Features) -> str:
    """Features under their own names, in the order that the sidecar uses, numbers exact."""
    tokens = [start]
    for name in sorted(given):
        value = given[name]
        if isinstance(value, bool):
            tokens.append(f"{name}={str(value).lower()}")
        elif isinstance(value, str):
            tokens.append(f"{name}={value}")
        else:
            tokens.append(f"{name}:{float(np.float32(value)).hex()}")
    return " ".join(tokens)
