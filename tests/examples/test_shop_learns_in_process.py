"""The shop can be learnt: the trainer alone, in one process, with delayed rewards; no store, no HTTP.

The true test, with real processes, is ``tests/e2e/test_shop_learns.py``.
"""

import random
from collections import deque

import numpy as np
import pytest

from examples.shop.simulator import FOLDER, HORIZON_S, buys, sessions
from examples.shop.truth import scored_arms, scored_context, worth_of
from policy_learner.join.catalogues import Catalogues
from policy_learner.learning.arm_sets import ArmSets
from policy_learner.learning.trainer import Example, Trainer
from sidecar.contracts.application import Exploration, load_application
from sidecar.contracts.catalogue import encode_arms, load_catalogue
from sidecar.contracts.events import DecisionEvent
from sidecar.contracts.weights import WeightsHeader, weights_of
from sidecar.policy.held_arms import ArmTables
from sidecar.policy.pipeline import score_event
from sidecar.policy.sampling import draw

APPLICATION = load_application(FOLDER)
CATALOGUE = load_catalogue(FOLDER, APPLICATION)
ARM_IDS = tuple(arm.id for arm in CATALOGUE.arms)
ARM_SETS = ArmSets(Catalogues(lambda _: encode_arms(CATALOGUE.arms)))
CHOSEN = APPLICATION.exploration
EXPLORATION = Exploration(CHOSEN.scheme, CHOSEN.epsilon, CHOSEN.control_share)
SESSIONS, PER_SECOND, PUBLISH_EVERY = 6_000, 300, 150


def header(version: int) -> WeightsHeader:
    model = APPLICATION.model
    return WeightsHeader(
        version=version,
        bits=model.bits,
        interactions=model.interactions,
        positions=("0-0",) * APPLICATION.partitions,
        trained_until_ms=0,
        epoch=1,
        examples=0,
    )


def decision(session, seed: int) -> DecisionEvent:
    return DecisionEvent(
        decision_id=f"d-{session.number}",
        session_id=session.session_id,
        unit_id=session.unit_id,
        decided_at_ms=0,
        horizon_ms=round(1000 * HORIZON_S),
        source="model",
        policy="champion",
        model_version=0,
        catalogue=CATALOGUE.version,
        context=scored_context(session.shopper),
        outcomes={},
        arms=(),
        given_arms={},
        scores=b"",
        exploration=EXPLORATION,
        arm="",
        arm_index=0,
        propensity=1.0,
        seed=str(seed),
        arm_features=scored_arms(session.shopper.segment, ARM_IDS),
    )


def shown(event: DecisionEvent, place: int, propensity: float) -> DecisionEvent:
    fields = {name: getattr(event, name) for name in event.__struct_fields__}
    return DecisionEvent(
        **{**fields, "arm": CATALOGUE.arms[place].id, "arm_index": place, "propensity": propensity}
    )


def learn_live(seed: int):
    """Decide, wait out the horizon, learn, publish now and then; the last weights."""
    trainer, rng, tables = Trainer(APPLICATION.model), random.Random(seed), ArmTables()
    weights, waiting, version = None, deque(), 0
    for session in sessions(seed, 0, SESSIONS):
        event = decision(session, rng.getrandbits(64))
        _, pmf = score_event(event, CATALOGUE, weights, tables)
        place = draw(pmf, int(event.seed))
        heard = buys(session, CATALOGUE.arms[place]) and session.delay_s < HORIZON_S
        waiting.append(Example(shown(event, place, float(pmf[place])), ARM_SETS.of(event), float(heard)))
        if session.number % PUBLISH_EVERY == 0 and len(waiting) > PER_SECOND * HORIZON_S:
            due = [waiting.popleft() for _ in range(len(waiting) - int(PER_SECOND * HORIZON_S))]
            trainer.learn(due)
            version += 1
            weights = weights_of(header(version), trainer.weights_values())
    trainer.learn(waiting)
    return weights_of(header(version + 1), trainer.weights_values())


def test_without_weights_greedy_is_uniform():
    """Nothing learnt, nothing gained."""
    assert worth_of(None, CATALOGUE).share_of_gain == pytest.approx(0.0, abs=1e-12)


def test_the_gain_grows_with_what_is_learnt():
    """A third of the gain after 6,000 sessions, on a fixed seed; uniform and best are the limits."""
    weights = learn_live(seed=11)
    worth = worth_of(weights, CATALOGUE)
    assert np.isfinite(weights.values).all()
    assert worth.uniform < worth.greedy < worth.best
    assert worth.share_of_gain > 1 / 3
