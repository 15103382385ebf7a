"""The gate's sample: what it keeps, and that scoring what is new gives what scoring all of it would."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from policy_learner.gate import gate_sample
from policy_learner.gate.gate_sample import GateSample
from policy_learner.gate.scored import Scored
from policy_learner.learning.trainer import Example
from sidecar.contracts.application import Arm, Exploration
from sidecar.contracts.events import DecisionEvent
from sidecar.contracts.model_section import ModelConfig
from sidecar.contracts.weights import WeightsHeader, weights_of
from sidecar.policy.adapters import RowInput
from sidecar.policy.arm_table import compile_arms
from sidecar.policy.exploration import pmf_of
from sidecar.policy.features import compile_context
from sidecar.policy.model import scores_of

MODEL = ModelConfig(bits=10, interactions=("ca", "aa"))


def example(rng, n_arms, scored=True):
    """With features of its own for each arm, few or many."""
    arms = tuple(
        Arm(f"sku-{n}", {f"f{k}": float(rng.normal()) for k in range(rng.integers(4))}) for n in range(n_arms)
    )
    shown = int(rng.integers(n_arms))
    event = DecisionEvent(
        decision_id="d", session_id="s", unit_id="u", decided_at_ms=0, horizon_ms=1, source="model",
        policy="champion", model_version=0, catalogue="c", outcomes={}, arms=(), given_arms={},
        context={f"c{k}": float(rng.normal()) for k in range(rng.integers(5))},
        scores=rng.normal(size=n_arms).astype("<f4").tobytes() if scored else b"",
        exploration=Exploration(), arm=f"sku-{shown}", arm_index=shown, propensity=0.5, seed="1",
    )  # fmt: skip
    return Example(event, arms, float(rng.random()))


def model(rng):
    header = WeightsHeader(
        version=1, bits=10, interactions=MODEL.interactions, positions=(),
        trained_until_ms=0, epoch=1, examples=1,
    )  # fmt: skip
    return weights_of(header, rng.normal(size=1024).astype(np.float32))


def scores(one, weights):
    return scores_of(RowInput(compile_context(one.event.context), compile_arms(one.arms)), weights)


@pytest.mark.parametrize("seed", range(4))
def test_scores_follow_the_sample(seed, monkeypatch):
    """Taken again and again while examples of all sizes come: shown and whole are those of the latest."""
    monkeypatch.setattr(gate_sample, "ARMS_SCORED", 60)
    rng = np.random.default_rng(seed)
    sample, weights, every = GateSample(40, 40, MODEL), model(rng), []
    followed = Scored(weights)
    for _ in range(30):
        new = [
            example(rng, int(rng.integers(1, 8)), scored=rng.random() < 0.7) for _ in range(rng.integers(10))
        ]
        sample.observe(new, len(every))
        every += new
        taken = sample.take()
        latest = every[-40:]
        assert taken.rewards.tolist() == [one.reward for one in latest]
        wanted = [scores(one, weights)[one.event.arm_index] for one in latest]
        assert followed.shown(taken) == pytest.approx(wanted, abs=1e-5)
        whole = latest[len(latest) - len(taken.whole.sizes) :]
        assert sum(len(one.arms) for one in whole) <= 60
        assert followed.whole(taken) == pytest.approx(
            np.concatenate([np.zeros(0), *[scores(one, weights) for one in whole]]), abs=1e-5
        )
        assert taken.whole.shown.tolist() == [one.event.arm_index for one in whole]
        chances = np.split(taken.whole.chances, taken.whole.sizes.cumsum()[:-1]) if whole else []
        for one, known in zip(whole, chances, strict=True):
            logged = np.frombuffer(one.event.scores, "<f4")
            assert (
                np.array_equal(known, pmf_of(logged, one.event.exploration))
                if len(logged)
                else np.isnan(known).all()
            )


def test_a_decision_of_too_many_arms_is_compared_by_its_shown_arm_alone(monkeypatch):
    """And those before it too: what is scored whole is the latest without a gap."""
    monkeypatch.setattr(gate_sample, "ARMS_SCORED", 60)
    rng = np.random.default_rng(1)
    sample = GateSample(40, 40, MODEL)
    sample.observe([example(rng, 5), example(rng, 61), example(rng, 6)], 0)
    taken = sample.take()
    assert (len(taken.rewards), taken.whole.sizes.tolist()) == (3, [6])


def test_wide_arms_make_fewer_of_them_scored(monkeypatch):
    """What is held is bounded in memory, whatever features arms have."""
    monkeypatch.setattr(gate_sample, "TERMS_SCORED", 100)
    rng = np.random.default_rng(1)
    sample = GateSample(40, 40, MODEL)
    for number in range(20):
        sample.observe([example(rng, 2)], number)
        whole = sample.take().whole
        assert whole.arms.terms.places.size <= 100


def test_no_gate_has_to_score_a_whole_sample_anew():
    """At thousands of examples a gate a quarter of the sample is replaced at once."""
    rng = np.random.default_rng(1)
    sample, some = GateSample(40, 40, MODEL), [example(rng, 2) for _ in range(400)]
    sample.observe(some, 0)
    assert sample.take().shown.numbers.tolist() == list(range(10))


@pytest.mark.parametrize(
    "exploration", [Exploration(epsilon=7.0), Exploration("nobody's"), Exploration("logged")]
)
def test_a_decision_that_says_nothing_possible_of_its_draw_stops_no_gate(exploration):
    """Foreign bytes may be well-formed: such a decision is compared without its pmf."""
    one = example(np.random.default_rng(1), 3)
    sample = GateSample(40, 40, MODEL)
    sample.observe([one._replace(event=msgspec.structs.replace(one.event, exploration=exploration))], 0)
    assert np.isnan(sample.take().whole.chances).all()
