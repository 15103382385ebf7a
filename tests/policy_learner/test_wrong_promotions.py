"""How often a challenger that is no better is promoted, looked at again and again: no oftener than stated.

Contests as the ledger keeps them, over decisions of which all that matters is drawn here: pmfs, arms,
rewards. Both models earn the same; where it says so the challenger is worse.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from policy_learner.promotion.contest import Laps, Span, count, standing
from policy_learner.promotion.heard import Heard
from sidecar.contracts.promotion import PromotionConfig
from sidecar.policy.evidence import log_evidence

RUNS, LOOKS, A_LOOK, N_ARMS, ERROR = 500, 50, 200, 10, 0.05
MOST = 0.08
"""Were the chance of a wrong promotion just 5 %, more than 8 % of 500 runs would be wrong with a chance below
0.3 % (binomial); by Ville's inequality it is less."""
CONFIG = PromotionConfig(error=ERROR, least_effective=50)
UNIT = Span(0.0, 1.0)


def greedy(rng, n, epsilon):
    """Pmfs of a model that thinks an arm the best and explores, ``(n, N_ARMS)``."""
    pmfs = np.full((n, N_ARMS), epsilon / N_ARMS)
    pmfs[np.arange(n), rng.integers(N_ARMS, size=n)] += 1 - epsilon
    return pmfs


def decisions(rng, share, epsilon, reward):
    """Of a mixture of two models that have nothing to do with each other."""
    pmfs = np.stack([greedy(rng, A_LOOK, epsilon), greedy(rng, A_LOOK, epsilon)])
    chances = (1 - share) * pmfs[0] + share * pmfs[1]
    shown = (rng.random(A_LOOK)[:, None] > chances.cumsum(axis=1)).sum(axis=1).clip(max=N_ARMS - 1)
    propensities, ones = chances[np.arange(A_LOOK), shown], np.ones(A_LOOK)
    scores = pmfs.astype(np.float32)
    return Heard((), scores, pmfs, chances, (1, 1), shown, reward(rng, shown), propensities, ones)


def rare(rng, shown):
    return (rng.random(A_LOOK) < 0.03).astype(float)


def usual(rng, shown):
    return (rng.random(A_LOOK) < 0.4).astype(float)


def huge(rng, shown):
    """One sale in a hundred is worth some thousand of the others."""
    return np.minimum(np.where(rng.random(A_LOOK) < 0.05, rng.pareto(1.2, A_LOOK) + 1, 0.0), 5_000.0)


def changing(rng, shown):
    """What an arm earns changes from look to look, for all arms alike: policies and worlds do."""
    return (rng.random(A_LOOK) < rng.choice([0.02, 0.9])).astype(float)


CASES = {
    "half of the traffic": (0.5, 0.2, usual, UNIT),
    "a tiny share, small propensities: weights of hundreds": (0.01, 0.02, rare, UNIT),
    "hardly explored, no share at all": (0.0, 0.01, rare, UNIT),
    "just promoted: the other one answers a tenth": (0.9, 0.2, rare, UNIT),
    "rewards of a huge range": (0.3, 0.2, huge, Span(0.0, 5_000.0)),
    "a world that changes all the time": (0.3, 0.2, changing, UNIT),
}


def won(laps, span, rivals=1):
    """Whether the challenger is taken for better; the interval is found only where it may be."""
    evidence = max(log_evidence(laps.whole.gain), log_evidence(laps.lap.gain))
    if evidence < -math.log(ERROR / 2):
        return False
    return standing(laps, ("a", "b"), CONFIG, span, rivals).verdict == "better"


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_of_equal_models_none_is_promoted_oftener_than_stated(case):
    share, epsilon, reward, span = CASES[case]
    wrong = 0
    for run in range(RUNS):
        rng, laps = np.random.default_rng([run, 17]), Laps()
        for _ in range(LOOKS):
            count(laps, decisions(rng, share, epsilon, reward), 1, 0, span, CONFIG.lap)
            if won(laps, span):
                wrong += 1
                break
    assert wrong / RUNS <= MOST


@pytest.mark.slow
def test_of_many_challengers_that_are_equal_none_is_promoted_oftener_than_stated():
    """Five at once, each looked at every time: together they are wrong no oftener than one alone may be."""
    wrong, rivals = 0, 5
    for run in range(RUNS // 5):
        rng, contests = np.random.default_rng([run, 19]), [Laps() for _ in range(rivals)]
        found = False
        for _ in range(LOOKS):
            for laps in contests:
                count(laps, decisions(rng, 0.15, 0.2, usual), 1, 0, UNIT, CONFIG.lap)
                found |= won(laps, UNIT, rivals)
        wrong += found
    assert wrong / (RUNS // 5) <= 0.13  # of 100 runs at 5 %, 14 and more are wrong with a chance below 0.1 %
