"""The gate: only numbers, of a legal size, that the trainer would have served itself."""

from __future__ import annotations

import numpy as np
import pytest

from policy_learner.gate.gate_sample import GateSample
from policy_learner.gate.gatekeeper import Gatekeeper
from policy_learner.gate.soundness import judge_parity, judge_values
from policy_learner.learning.trainer import Example, Trainer
from policy_learner.settings import LearnerSettings
from sidecar.contracts.application import Arm, Exploration, ExplorationConfig
from sidecar.contracts.events import DecisionEvent
from sidecar.contracts.learner_report import Verdict
from sidecar.contracts.model_section import ModelConfig
from sidecar.contracts.weights import WeightsHeader, weights_of

MODEL = ModelConfig(bits=10)
ARMS = tuple(Arm(f"sku-{n}", {"price": float(n)}) for n in range(3))


def example(n, reward):
    event = DecisionEvent(
        decision_id=f"d-{n}", session_id="s", unit_id="u", decided_at_ms=0, horizon_ms=1, source="model",
        policy="champion", model_version=0, catalogue="c", context={"n": float(n % 7), "odd": n % 2 == 1},
        outcomes={}, arms=(), given_arms={}, scores=b"", exploration=Exploration(), arm=f"sku-{n % 3}",
        arm_index=n % 3, propensity=0.5, seed="1",
    )  # fmt: skip
    return Example(event, ARMS, reward)


@pytest.fixture
def trainer():
    trained = Trainer(MODEL)
    trained.learn([example(n, float(n % 3)) for n in range(200)])
    return trained


def weights(values):
    header = WeightsHeader(
        version=1,
        bits=10,
        interactions=MODEL.interactions,
        positions=(),
        trained_until_ms=0,
        epoch=1,
        examples=1,
    )
    return weights_of(header, values)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (float("nan"), "1 of 1024 weights are not finite"),
        (float("-inf"), "1 of 1024 weights are not finite"),
        (1e7, "largest weight is 1e+07; legal are up to 1e+06"),
    ],
)
def test_weights_that_are_no_numbers_or_too_large_are_refused(spoil, reason):
    """With the numbers that say so."""
    values = np.zeros(1024, np.float32)
    assert judge_values(values, 1e6).passed
    values[7] = spoil
    verdict = judge_values(values, 1e6)
    assert (verdict.passed, verdict.reason) == (False, reason)


def test_the_trainers_own_weights_pass(trainer):
    """Sidecar and trainer agree on every arm of the sample."""
    values = trainer.weights_values()
    sample = [example(n, 0.0) for n in range(16)]
    verdict = judge_parity(judge_values(values, 1e6), weights(values), trainer, sample, 1e-6)
    assert (verdict.passed, verdict.sample) == (True, 16)
    assert 0.0 <= verdict.parity <= 1e-6


def test_weights_that_are_not_the_trainers_are_refused(trainer):
    """One weight in use moved by a hundredth is seen."""
    values = trainer.weights_values()
    values[np.argmax(np.abs(values))] += 0.01
    sample = [example(n, 0.0) for n in range(16)]
    verdict = judge_parity(judge_values(values, 1e6), weights(values), trainer, sample, 1e-6)
    assert not verdict.passed
    assert "sidecar and trainer differ" in verdict.reason


def test_a_long_refusal_is_said_ever_more_rarely_and_so_is_its_end(caplog):
    """Poison that lasts for an hour leaves a dozen lines in the log, and the latest numbers in the status."""
    keeper = Gatekeeper(LearnerSettings(), ExplorationConfig(), GateSample(100, 100, MODEL))
    refused = Verdict(False, "too large", not_finite=0, largest_weight=1e9, parity=None, sample=0)
    passed = Verdict(True, "", not_finite=0, largest_weight=1.0, parity=0.0, sample=0)
    for at_ms in range(1000):
        keeper.note(refused, version=7, examples=at_ms, at_ms=at_ms)
    keeper.note(passed, version=7, examples=1000, at_ms=1000)
    keeper.note(refused, version=8, examples=1001, at_ms=1001)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 10 + 1 + 1
    assert said[9].startswith("gate refused, 512 in a row: ")
    assert said[10] == "gate lets weights pass again, after 1000 refusals"
    assert said[11].startswith("gate refused, 1 in a row: ")
    assert keeper.refusals[-2].at_ms == 999
