"""The same sessions of the shop, learnt in each mode: what is learnt at once is worth as much in the end."""

from __future__ import annotations

import random
from typing import NamedTuple

import pytest

from examples.shop.simulator import HORIZON_S, buys, sessions
from examples.shop.truth import worth_of
from policy_learner.learning.trainer import Example, Trainer
from sidecar.contracts.weights import Weights, weights_of
from sidecar.policy.held_arms import ArmTables
from sidecar.policy.pipeline import score_event
from sidecar.policy.sampling import draw
from tests.examples.test_shop_learns_in_process import (
    APPLICATION,
    ARM_SETS,
    CATALOGUE,
    decision,
    header,
    shown,
)

SESSIONS, PER_SECOND, AT_ONCE = 12_000, 300, 150
SEEDS = (11, 12, 13)


class Told(NamedTuple):
    """One decision, and what was heard of it within its horizon."""

    at_s: float
    example: Example
    heard_s: float | None


def log_of(seed: int) -> list[Told]:
    """Decisions of a policy that learns as it goes on, so that they are where a live one would make them."""
    trainer, rng, tables = Trainer(APPLICATION.model), random.Random(seed), ArmTables()
    weights, told = None, []
    for session in sessions(seed, 0, SESSIONS):
        event = decision(session, rng.getrandbits(64))
        _, pmf = score_event(event, CATALOGUE, weights, tables)
        place = draw(pmf, int(event.seed))
        heard = buys(session, CATALOGUE.arms[place]) and session.delay_s < HORIZON_S
        example = Example(shown(event, place, float(pmf[place])), ARM_SETS.of(event), float(heard))
        told.append(Told(session.number / PER_SECOND, example, session.delay_s if heard else None))
        if session.number % AT_ONCE == AT_ONCE - 1:
            trainer.learn([one.example for one in told[-AT_ONCE:]])
            weights = weights_of(header(1), trainer.weights_values())
    return told


def entries_of(told: list[Told], mode: str) -> list[Example]:
    """What the trainer is given in a mode, in the order in which it comes."""
    timed: list[tuple[float, Example]] = []
    for at_s, example, heard_s in told:
        match mode:
            case "wait":
                timed.append((at_s + HORIZON_S, example))
            case "assume":
                timed.append((at_s, example._replace(reward=0.0)))
                if heard_s is not None:
                    timed.append((at_s + heard_s, example._replace(correction=True)))
            case "earliest":
                timed.append((at_s + (HORIZON_S if heard_s is None else heard_s), example))
    return [example for _, example in sorted(timed, key=lambda one: one[0])]


def learnt(told: list[Told], mode: str) -> Weights:
    trainer = Trainer(APPLICATION.model)
    examples = entries_of(told, mode)
    for start in range(0, len(examples), AT_ONCE):
        trainer.learn(examples[start : start + AT_ONCE])
    return weights_of(header(1), trainer.weights_values())


@pytest.mark.slow
def test_learning_at_once_ends_where_waiting_ends():
    """Within 2 % of the reward of waiting, over three seeds together."""
    logs = [log_of(seed) for seed in SEEDS]
    worth = {
        mode: sum(worth_of(learnt(told, mode), CATALOGUE).greedy for told in logs) / len(logs)
        for mode in ("wait", "assume", "earliest")
    }
    assert worth["assume"] == pytest.approx(worth["wait"], rel=0.02)
    assert worth["earliest"] == pytest.approx(worth["wait"], rel=0.02)
