"""The live figures: the control group's rate is had from propensities, without bias."""

import math
import random

from examples.shop.figures import Decided, Tally, figures_of, mean_rate, uniform_rate


def decision(arm: str, probability: float, rewarded: bool, at_s: float = 0.0) -> Decided:
    return Decided(0, arm, probability, "model", 1, at_s, 0.01, rewarded)


def test_the_uniform_rate_is_that_of_the_uniform_policy_whoever_decided():
    """A policy that prefers the arm that sells is corrected; the truth lies in the interval."""
    rng = random.Random(5)
    pmf, sells = {"a": 0.8, "b": 0.1, "c": 0.1}, {"a": 0.6, "b": 0.2, "c": 0.1}
    arms = rng.choices(list(pmf), list(pmf.values()), k=20_000)
    seen = [decision(arm, pmf[arm], rng.random() < sells[arm]) for arm in arms]
    rate = uniform_rate(seen, 3)
    assert abs(rate.mean - 0.3) < rate.half * 2.5 / 1.96  # seeded; a fresh draw fails one time in eighty
    assert rate.half < 0.02
    assert mean_rate([one.rewarded for one in seen]).mean > 0.45


def test_without_decisions_there_is_no_rate():
    """Nothing is said where nothing is known."""
    figures = figures_of(Tally(n_arms=3, horizon_s=2.0), now_s=1.0)
    assert math.isnan(figures.model.mean)
    assert str(figures.control) == "–"
    assert figures.sessions == 0


def test_young_decisions_do_not_count_as_unrewarded():
    """A decision is judged when its horizon is over, not before."""
    tally = Tally(n_arms=2, horizon_s=2.0)
    tally.decided += [decision("a", 0.5, True, at_s=0.0), decision("a", 0.5, True, at_s=0.1)]
    tally.decided += [decision("a", 0.5, False, at_s=9.0)]
    assert figures_of(tally, now_s=10.0).model.mean == 1.0
